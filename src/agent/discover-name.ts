/** A name that Postern takes: a-z 0-9 and `-`, at most 63, beginning and ending with a letter or digit. */
export function toName(text: string): string {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 58)
    .replace(/^-+|-+$/g, '');
  return name === '' ? 'service' : name;
}

/** The name, or with `-2`, `-3` … behind it the first that is free; takes it. */
export function takeName(name: string, namespace: string, taken: Set<string>): string {
  let free = name;
  for (let n = 2; taken.has(`${namespace}/${free}`); n++) free = `${name}-${n}`;
  taken.add(`${namespace}/${free}`);
  return free;
}
