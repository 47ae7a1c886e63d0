/** `libbpf-ts/codec`: what generated code imports. Pure: loads neither libbpf nor koffi. */
export { getBytes, getS64, getString, getU64, setBytes, setS64, setString, setU64 } from './btf/bytes.ts';
export type { Codec, CodecOptions } from './btf/codec.ts';
export { codec, rawCodec, s32Codec, u8Codec, u16Codec, u32Codec, u64BigintCodec, u64Codec } from './btf/codec.ts';
export type { MapCodecs } from './btf/map-codecs.ts';
