import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { askUrl, CLOUDS } from './cloud-metadata.ts';
import { readJson, writeFileAtomic } from './state-file.ts';

const SAVED = 'cloud-tags.json';

const EVERY_MS = 300_000;
const TAGS = 64;

export type CloudTagList = readonly (readonly [key: string, value: string])[];

/**
 * Tags of the cloud instance, from a file (JSON object of strings), a URL that gives one, or the metadata service of a cloud: `aws`,
 * `azure`, `gcp` (network tags), `gcp:env,team` (and these keys of its custom metadata).
 * Asked in the background, again every 5 minutes. A source that does not answer says nothing: the tags stay as they were last
 * known, also from before a start (on disk), since who somebody is may depend on them.
 */
export class CloudTags {
  readonly #source: string;
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #stateDir: string;
  #tags: CloudTagList;

  constructor(source: string, stateDir: string, onChange: () => void) {
    this.#source = source;
    this.#stateDir = stateDir;
    this.#tags = lastKnown(stateDir);
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#look(), EVERY_MS).unref();
    void this.#look();
  }

  /** Sorted by key. */
  get tags(): CloudTagList {
    return this.#tags;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const found = await readTags(this.#source).catch(() => undefined);
    if (found === undefined) return;
    const tags = Object.entries(found)
      .filter((entry): entry is [string, string] => typeof entry[1] === 'string')
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, TAGS);
    if (JSON.stringify(tags) === JSON.stringify(this.#tags)) return;
    this.#tags = tags;
    this.#onChange();
    await writeFileAtomic(join(this.#stateDir, SAVED), JSON.stringify(tags)).catch(() => undefined);
  }
}

function lastKnown(stateDir: string): CloudTagList {
  try {
    return readJson<CloudTagList>(stateDir, SAVED) ?? [];
  } catch {
    return [];
  }
}

async function readTags(source: string): Promise<Record<string, unknown>> {
  const [, name, keys = ''] = /^(\w+)(?::([\w,-]*))?$/.exec(source) ?? [];
  if (name !== undefined && Object.hasOwn(CLOUDS, name)) return CLOUDS[name]!(keys.split(',').filter(Boolean));
  const text = /^https?:\/\//.test(source) ? await askUrl(source) : await readFile(source, 'utf8');
  const value: unknown = JSON.parse(text);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
