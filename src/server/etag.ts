/** An object's ETag: its uid's first part, so that no two control planes share one, and the revision of its last change. */
export function etagOf(meta: { readonly uid: string; readonly revision: number }): string {
  return `"${meta.uid.slice(0, 8)}-${meta.revision}"`;
}

/** The tags of an If-Match or If-None-Match header; weak ones count like strong ones. */
export function parseEtags(header: string | undefined): string[] | undefined {
  if (header === undefined) return undefined;
  return header
    .split(',')
    .map((tag) => tag.trim().replace(/^W\//, ''))
    .filter((tag) => tag !== '');
}
