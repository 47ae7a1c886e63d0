import { INTERPRETERS, type InterpreterKind, OPTIONS, type OptionAction } from '../core/interpreter.ts';
import type { DatapathMaps } from './maps.ts';
import { hashPath } from './path-hash.ts';
import { Interpreter, OptionAction as KernelAction } from './postern.skel.ts';

/** OPTION_SLOT of bpf/abi.h: from here on the keys of arg_match are options of interpreters. */
export const OPTION_SLOT = 4;
/** enum exe_kind. */
export const EXE_PATH = 0;
export const EXE_SCRIPT = 1;
export const EXE_NAME = 2;

const KINDS: Readonly<Record<InterpreterKind, number>> = {
  script: Interpreter.INTERPRETER_SCRIPT,
  shell: Interpreter.INTERPRETER_SHELL,
  java: Interpreter.INTERPRETER_JAVA,
};
const ACTIONS: Readonly<Record<OptionAction, number>> = {
  ends: KernelAction.OPTION_ENDS,
  takesValue: KernelAction.OPTION_TAKES_VALUE,
  takesScript: KernelAction.OPTION_TAKES_SCRIPT,
};

/** Names of interpreters, for one half of the tables, and what their options mean, the same for both. */
export function writeInterpreters(maps: DatapathMaps, hashKey: bigint, slot: number): void {
  maps.exe_match.updateBatch(
    [...INTERPRETERS].map(
      ([name, kind]) =>
        [
          { hash: hashPath(hashKey, name), slot, kind: EXE_NAME },
          { head: 0, flags: KINDS[kind] },
        ] as const,
    ),
  );
  for (const [kind, options] of Object.entries(OPTIONS) as [InterpreterKind, ReadonlyMap<string, OptionAction>][])
    maps.arg_match.updateBatch(
      [...options].map(
        ([text, action]) =>
          [
            { slot: OPTION_SLOT + KINDS[kind], text },
            { pattern: ACTIONS[action], head: 0 },
          ] as const,
      ),
    );
}
