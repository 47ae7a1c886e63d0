/** The version of this checkout or release, from its package.json: two folders up from source, one from the bundle. */
import { readFileSync } from 'node:fs';

export const VERSION: string = readVersion(['../../package.json', '../package.json']);

function readVersion(places: readonly string[]): string {
  for (const place of places) {
    try {
      const found = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name: string;
        version: string;
      };
      if (found.name === 'postern') return found.version;
    } catch {
      // Not there: the next place.
    }
  }
  return 'unknown';
}
