// What the documentation shows can be typed: links lead somewhere, policies are accepted, JSON bodies are JSON.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import { parsePolicy } from '../src/core/policy.ts';
import { validateWorkload } from '../src/core/workload.ts';

const root = join(import.meta.dirname, '..');
const pages = globSync(['*.md', 'docs/**/*.md', 'src/**/*.md', 'bpf/*.md'], {
  cwd: root,
  exclude: (path) => path.includes('node_modules'),
}).map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

test('every link to a file leads to one', () => {
  const broken = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1]!)
      .filter((target) => !existsSync(join(root, dirname(path), target)))
      .map((target) => `${path}: ${target}`),
  );
  assert.equal(broken, []);
});

test('every policy that is shown is accepted', () => {
  const documents = pages.flatMap(({ path, text }) =>
    blocks(text).flatMap((block) => parseAllDocuments(block).map((document) => ({ path, document: document.toJS() }))),
  );
  const policies = documents.filter(({ document }) => /Policy$/.test(document?.kind ?? ''));
  assert.ok(policies.length > 0);
  for (const { path, document } of policies) {
    assert.equal({ path, ...parsePolicy(document) }.ok, true, JSON.stringify(parsePolicy(document)));
  }
});

test('every workload that is shown as the body of a curl is accepted', () => {
  const bodies = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\/v1\/workloads\/([\w-]+)\/([\w-]+)[^']*'[^']*'[^']*'(\{[^']*\})'/g)].map((match) => ({
      path,
      namespace: match[1]!,
      name: match[2]!,
      body: JSON.parse(match[3]!),
    })),
  );
  assert.ok(bodies.length > 0);
  for (const { path, namespace, name, body } of bodies) {
    const result = validateWorkload(namespace, name, body);
    assert.ok(result.ok, `${path}: ${JSON.stringify(result)}`);
  }
});

test.run();

/** Fenced YAML, and what a here-document feeds to a command. */
function blocks(text: string): string[] {
  const fenced = [...text.matchAll(/^```ya?ml\n([\s\S]*?)^```/gm)].map((match) => match[1]!);
  const fed = [...text.matchAll(/<<'?(\w+)'?[^\n]*\n([\s\S]*?)^\1$/gm)].map((match) => match[2]!);
  return [...fenced, ...fed.filter((block) => block.includes('apiVersion:'))];
}
