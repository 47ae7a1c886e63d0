#!/usr/bin/env node
/** `libbpf-ts gen OBJECT`: TypeScript types and codecs of a BPF object. Needs neither root nor libbpf. */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { Btf } from './btf/btf.ts';
import { Elf } from './btf/elf.ts';
import { generate } from './btf/generate.ts';

const USAGE = `Usage: libbpf-ts gen OBJECT [--types NAME,...] [--bigint TYPE.FIELD,...] [--module NAME] [--out FILE]

  OBJECT    BPF object file, compiled with: clang -target bpf -g -O2
  --types   structs and enums to include besides those of maps and global variables
  --bigint  64-bit fields to read as bigint (default: number, exact below 2^53)
  --module  name under which the output imports this package (default: libbpf-ts)
  --out     file to write (default: standard output)
`;

process.exitCode = main(process.argv.slice(2));

/** Exit code: 0 done, 1 failed, 2 wrong usage. */
function main(args: string[]): number {
  try {
    const { positionals, values } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        types: { type: 'string', default: '' },
        bigint: { type: 'string', default: '' },
        module: { type: 'string', default: 'libbpf-ts' },
        out: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const [command, object, ...rest] = positionals;
    if (values.help) {
      process.stdout.write(USAGE);
      return 0;
    }
    if (command !== 'gen' || object === undefined || rest.length > 0) {
      process.stderr.write(USAGE);
      return 2;
    }
    const bytes = readFileSync(object);
    const text = generate(Btf.fromObject(bytes), new Elf(bytes), {
      types: list(values.types),
      bigint: list(values.bigint),
      module: values.module,
      source: basename(object),
    });
    if (values.out === undefined) process.stdout.write(text);
    else writeFileSync(values.out, text);
    return 0;
  } catch (error) {
    process.stderr.write(`libbpf-ts: ${error instanceof Error ? error.message : String(error)}\n`);
    return (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1;
  }
}

function list(text: string): string[] {
  return text.split(',').filter((name) => name !== '');
}
