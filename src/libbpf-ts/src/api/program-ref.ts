/** A loaded program, as object or as bare fd. */
export type ProgramRef = number | { readonly fd: number };

export function fdOf(program: ProgramRef): number {
  return typeof program === 'number' ? program : program.fd;
}
