/** Documents in a file that are not policies: Postern's own kinds, and Kubernetes' Namespace. */
import * as v from 'valibot';
import { object } from '../api/check.ts';
import { ObjectName } from '../api/name.ts';

/** Kubernetes' server-owned fields: accepted, so that what a cluster gives back can be applied; they mean nothing. */
const IGNORED_METADATA = {
  uid: v.optional(v.unknown()),
  resourceVersion: v.optional(v.unknown()),
  generation: v.optional(v.unknown()),
  creationTimestamp: v.optional(v.unknown()),
  managedFields: v.optional(v.unknown()),
  ownerReferences: v.optional(v.unknown()),
  selfLink: v.optional(v.unknown()),
  annotations: v.optional(v.record(v.string(), v.string())),
};

/** `spec` is the body of the kind's PUT. */
export const OwnDocument = object({
  apiVersion: v.string(),
  kind: v.string(),
  metadata: object({ namespace: v.optional(v.string()), name: ObjectName, ...IGNORED_METADATA }),
  spec: v.optional(v.unknown()),
  status: v.optional(v.unknown()),
});

export const KubernetesNamespace = object({
  apiVersion: v.string(),
  kind: v.string(),
  metadata: object({ name: v.string(), labels: v.optional(v.record(v.string(), v.string())), ...IGNORED_METADATA }),
  spec: v.optional(v.unknown()),
  status: v.optional(v.unknown()),
});
