/** What a command prints: results on stdout in the chosen format, remarks on stderr. */
import { styleText } from 'node:util';
import { stringify } from 'yaml';
import type { Io, Sink } from './command.ts';

export type Format = 'table' | 'json' | 'yaml';
export type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold';

export interface Out {
  readonly format: Format;
  /** A line, or many, on stdout; resolves when there is room for the next. */
  print(text: string): Promise<void>;
  /** A remark for the person, on stderr. */
  note(text: string): void;
  /** A value in JSON or YAML, as `format` says (json when it is table). */
  value(value: unknown): Promise<void>;
  /** Colours only where stdout is a terminal (NO_COLOR and FORCE_COLOR are honoured). */
  colour(colour: Colour, text: string): string;
}

/** Thrown by print when the reader of stdout is gone (`| head`): nobody to tell, nothing to do. */
export class ReaderGone extends Error {}

export function createOut(io: Io, format: Format): Out {
  const colours = wantsColour(io);
  let gone = false;
  io.stdout.on('error', () => {
    gone = true;
  });

  async function print(text: string): Promise<void> {
    if (gone) throw new ReaderGone();
    if (io.stdout.write(`${text}\n`)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    io.stdout.once('drain', resolve).once('error', () => resolve());
    await promise;
    if (gone) throw new ReaderGone();
  }

  return {
    format,
    print,
    note: (text) => void io.stderr.write(`${text}\n`),
    value: (value) => print(format === 'yaml' ? yamlText(value) : JSON.stringify(value, null, 2)),
    colour: (colour, text) => (colours ? styleText(colour, text, { validateStream: false }) : text),
  };
}

export function yamlText(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }).trimEnd();
}

function wantsColour(io: Io): boolean {
  if (io.env.NO_COLOR) return false;
  if (io.env.FORCE_COLOR !== undefined) return io.env.FORCE_COLOR !== '0';
  return (io.stdout as Sink).isTTY === true && io.env.TERM !== 'dumb';
}
