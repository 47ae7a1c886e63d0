/** `/v1/x/:name:rollback` as OpenAPI writes it, `/v1/x/{name}:rollback`: what follows a slash is a parameter, a later colon a verb. */
export function templateOf(path: string): string {
  return path.replaceAll(/\/:(\w+)/g, '/{$1}');
}
