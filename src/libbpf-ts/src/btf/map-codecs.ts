/** Key and value of one map. */
import type { Codec } from './codec.ts';

export interface MapCodecs<K, V> {
  readonly key: Codec<K>;
  readonly value: Codec<V>;
}
