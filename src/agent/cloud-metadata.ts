const ADDRESS = 'http://169.254.169.254';
const ASK_MS = 2_000;
const TAGS = 64;

/** Tags of this instance by key; throws when the service does not answer, or says no. */
type ReadTags = (keys: readonly string[]) => Promise<Record<string, unknown>>;

/**
 * Metadata services of clouds, each as its manual says: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html,
 * https://cloud.google.com/compute/docs/metadata/querying-metadata,
 * https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
 */
export const CLOUDS: Readonly<Record<string, ReadTags>> = {
  /** Version 2 with its token; tags are there when the instance allows it. */
  aws: async () => {
    const token = await ask('/latest/api/token', { 'x-aws-ec2-metadata-token-ttl-seconds': '60' }, 'PUT');
    const tags = '/latest/meta-data/tags/instance';
    const headers = { 'x-aws-ec2-metadata-token': token };
    const keys = (await ask(tags, headers)).split('\n').filter(isTagKey).slice(0, TAGS);
    return record(keys, (key) => ask(`${tags}/${key}`, headers));
  },

  /** Network tags, which have no value, and of the custom metadata what is asked for: the rest of it may be keys and scripts. */
  gcp: async (keys) => {
    const headers = { 'metadata-flavor': 'Google' };
    const instance = '/computeMetadata/v1/instance';
    const tags = JSON.parse(await ask(`${instance}/tags?alt=json`, headers)) as string[];
    const all = (await ask(`${instance}/attributes/`, headers)).split('\n');
    const there = keys.filter((key) => all.includes(key));
    const custom = await record(there, (key) => ask(`${instance}/attributes/${key}`, headers));
    return { ...Object.fromEntries(tags.map((tag) => [tag, ''])), ...custom };
  },

  azure: async () => {
    const list = await ask('/metadata/instance/compute/tagsList?api-version=2021-02-01', { metadata: 'true' });
    const tags = JSON.parse(list) as { name: string; value: string }[];
    return Object.fromEntries(tags.map(({ name, value }) => [name, value]));
  },
};

export async function askUrl(url: string, options: RequestInit = {}): Promise<string> {
  const response = await fetch(url, { ...options, redirect: 'error', signal: AbortSignal.timeout(ASK_MS) });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.text();
}

function ask(path: string, headers: Record<string, string>, method = 'GET'): Promise<string> {
  return askUrl(`${ADDRESS}${path}`, { method, headers });
}

async function record(
  keys: readonly string[],
  value: (key: string) => Promise<string>,
): Promise<Record<string, string>> {
  const entries = await Promise.all(keys.map(async (key) => [key, await value(key)] as const));
  return Object.fromEntries(entries);
}

/** What a key in instance metadata may be: nothing that a path would need to escape. */
function isTagKey(key: string): boolean {
  return /^[\w+\-=.,:@]+$/.test(key);
}
