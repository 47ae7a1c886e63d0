/** Network interfaces by name, in the network namespace of the calling thread. */
import koffi from 'koffi';
import { BpfError } from './error.ts';
import { libc } from './libc.ts';

/** Throws BpfError (ENODEV) if there is no such interface. */
export function interfaceIndex(name: string): number {
  const index = libc.ifNameToIndex(name);
  if (index === 0) throw new BpfError(`find interface "${name}"`, koffi.errno());
  return index;
}
