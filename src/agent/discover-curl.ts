/**
 * A registration as a command for a shell. Its body is YAML in one line, because nothing in it then needs a double
 * quote: the command can be copied out of the JSON that carries it, where each would stand as \".
 */
export function registrationCurl(url: string, body: object): string {
  return `curl -X PUT '${url}' -H 'content-type: application/yaml' -d '${toFlow(body).replaceAll("'", "'\\''")}'`;
}

/** YAML's flow style; a text that YAML could take for something else stands as in JSON, which is YAML too. */
function toFlow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toFlow).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([key, one]) => `${toFlow(key)}: ${toFlow(one)}`)
      .join(', ')}}`;
  return typeof value === 'string' && isPlain(value) ? value : JSON.stringify(value);
}

/** Names, paths, options and ports: no indicator of YAML in them, and neither a number nor one of its words. */
function isPlain(text: string): boolean {
  return /^(\/|--?[A-Za-z]|[A-Za-z]|\d+\/[A-Za-z])[\w./@=*+-]*$/.test(text) && !/^(true|false|null)$/i.test(text);
}
