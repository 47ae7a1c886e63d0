/** Where the server may listen until there are TLS and tokens. */
export const LISTEN_RULE = 'must be loopback and a port, such as 127.0.0.1:7460, until there are TLS and tokens';

/** `127.0.0.1:7460`, `localhost:7460` or `[::1]:7460`; undefined for anything that is not loopback or no port. */
export function parseListen(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost)|\[(::1)\]):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65535) return undefined;
  return { host: match[1] ?? match[2]!, port: Number(match[3]) };
}
