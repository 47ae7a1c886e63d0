import type { BpfMap, Codec } from 'libbpf-ts';
import { maps } from './postern.skel.ts';

type Decoded<C> = C extends Codec<infer T> ? T : never;

/** The maps of bpf/maps.h that user space reads or writes, typed; what each is for stands there. */
export type DatapathMaps = {
  readonly [Name in keyof typeof maps]: BpfMap<
    Decoded<(typeof maps)[Name]['key']>,
    Decoded<(typeof maps)[Name]['value']>
  >;
};

export const mapCodecs = maps;
