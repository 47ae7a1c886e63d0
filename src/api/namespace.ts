/** `/v1/namespaces/{name}`: made on first use; its labels are part of the identity of each workload in it. */
import * as v from 'valibot';
import { object } from './check.ts';
import { Meta, SERVER_FIELDS } from './meta.ts';
import { Labels } from './name.ts';

export const NamespaceBody = object({ name: v.optional(v.string()), labels: v.optional(Labels), ...SERVER_FIELDS });

export const NamespaceStatus = object({ workloads: v.number(), policies: v.number() });

/** `labels` always holds `kubernetes.io/metadata.name`. */
export const Namespace = object({ name: v.string(), labels: Labels, meta: Meta, status: NamespaceStatus });
export type Namespace = v.InferOutput<typeof Namespace>;
