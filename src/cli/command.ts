/**
 * What a command of the command line is: one row of the table in commands.ts. Parsing (parse.ts), help (help.ts) and
 * completion (complete.ts) read the same row, so that none can know a flag that the others do not.
 */
import type { Client } from './client.ts';
import type { Local } from './local.ts';
import type { Out } from './out.ts';

export interface Command {
  /** The words that name it: ['workload', 'put']. */
  readonly path: readonly string[];
  readonly summary: string;
  readonly args: readonly Arg[];
  readonly flags: readonly Flag[];
  /** Paragraphs below the usage line. */
  readonly help?: string;
  /** [command line, what it does] */
  readonly examples: readonly (readonly [string, string])[];
  readonly hidden?: true;
  /** Answers the exit code; throws Failure. */
  readonly run: (call: Call) => Promise<number>;
}

export interface Arg {
  readonly name: string;
  readonly optional?: true;
  readonly many?: true;
  readonly complete?: Source;
}

export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** Placeholder of the value in help; absent = the flag is a switch. */
  readonly value?: string;
  readonly many?: true;
  readonly summary: string;
  /** Compared without case; the value is handed on as written here. */
  readonly choices?: readonly string[];
  readonly complete?: Source;
  /** Used when the flag is absent. */
  readonly env?: string;
  readonly default?: string;
}

/** Where completion finds words: files, or the names of a noun on the server. */
export type Source =
  | 'file'
  | 'command'
  | 'workload'
  | 'policy'
  | 'endpoint'
  | 'identity'
  | 'host'
  | 'namespace'
  | 'noun';

export interface Io {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}

export type Sink = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** A parsed command line with everything that a command may touch. */
export interface Call extends Flags {
  readonly command: Command;
  readonly args: readonly string[];
  readonly io: Io;
  readonly out: Out;
  /** The server's REST API. */
  readonly server: Client;
  /** The agent's REST API on its unix socket. */
  readonly agent: Client;
  readonly local: Local;
}

export interface Flags {
  /** Last value given, else the environment, else the default. */
  text(flag: string): string | undefined;
  list(flag: string): readonly string[];
  on(flag: string): boolean;
}
