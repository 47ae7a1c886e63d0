/** The keyed path hash of bpf/path.h: components from the leaf to the root, each in little-endian 8-byte words, then its length. */
export function hashPath(key: bigint, path: string): bigint {
  let hash = key;
  for (const name of path.split('/').filter(Boolean).reverse()) {
    const bytes = Buffer.from(name);
    const words = Buffer.alloc(Math.ceil(bytes.length / 8) * 8);
    bytes.copy(words);
    for (let at = 0; at < words.length; at += 8) hash = mix(hash, words.readBigUInt64LE(at));
    hash = mix(hash, BigInt(bytes.length));
  }
  return hash;
}

const MULTIPLIER = 0x9e3779b97f4a7c15n;

function mix(hash: bigint, word: bigint): bigint {
  const product = BigInt.asUintN(64, (hash ^ word) * MULTIPLIER);
  return product ^ (product >> 29n);
}
