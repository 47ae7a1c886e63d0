/** `/docs`: the operations as one readable page. No script, nothing from elsewhere: it works where there is no internet. */

import { PROBLEMS } from '../api/problem.ts';
import type { Operation } from './operation.ts';
import { templateOf } from './path-template.ts';

/** `origin`: where the reader has it from. */
export function toDocsPage(operations: readonly Operation[], version: string, origin: string): string {
  const tags = [...new Set(operations.map(({ tag }) => tag))];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Postern REST API</title><style>${STYLE}</style></head><body>
<nav><strong>Postern</strong>${tags.map((tag) => `<a href="#${slug(tag)}">${tag}</a>`).join('')}<a href="#problems">Problems</a></nav>
<main><h1>Postern REST API <small>${escapeHtml(version)}</small></h1>
<p>JSON in, JSON out; YAML in wherever a document is taken, YAML out with <code>Accept: application/yaml</code>.
Reads are open to every local user; writes are taken from root and from the server’s own user.
The same as data: <a href="/openapi.json">/openapi.json</a>. In the examples <code>P=${escapeHtml(origin)}</code>.</p>
${tags
  .map((tag) =>
    section(
      tag,
      operations.filter((operation) => operation.tag === tag),
    ),
  )
  .join('\n')}
<h2 id="problems">Problems</h2><p>Every refusal is an RFC 9457 problem: what, where (a JSON pointer, line and column), what is
allowed, and often a command that helps.</p><table>${Object.entries(PROBLEMS)
    .map(
      ([code, [status, title]]) =>
        `<tr id="problem-${code}"><td>${status}<td><code>${code}</code><td>${escapeHtml(title)}`,
    )
    .join('\n')}</table></main></body></html>
`;
}

function section(tag: string, operations: readonly Operation[]): string {
  return `<h2 id="${slug(tag)}">${tag}</h2>${operations.map(article).join('\n')}`;
}

function article({ method, path, summary, access, query = {}, body, answers, curl }: Operation): string {
  const url = escapeHtml(templateOf(path));
  const parameters = Object.entries(query).map(
    ([name, { description, example }]) =>
      `<tr><td><code>${name}</code><td>${escapeHtml(description)}${example === undefined ? '' : ` <code>${escapeHtml(example)}</code>`}`,
  );
  const sample = body?.example === undefined ? '' : `<pre>${escapeHtml(JSON.stringify(body.example, null, 1))}</pre>`;
  return `<article><h3><b class="${method}">${method}</b> ${url}${access === 'read' ? '' : ` <i>${access}</i>`}</h3>
<p>${escapeHtml(summary)}. ${Object.entries(answers)
    .map(([status, { description }]) => `<code>${status}</code> ${escapeHtml(description)}`)
    .join(
      '; ',
    )}.</p>${sample}${parameters.length > 0 ? `<details><summary>parameters</summary><table>${parameters.join('')}</table></details>` : ''}${
    curl === undefined ? '' : `<pre>curl ${escapeHtml(curl)}</pre>`
  }</article>`;
}

const STYLE = `
:root{color-scheme:light dark;--line:#8884}body{margin:0;font:16px/1.5 system-ui,sans-serif;display:flex}
nav{position:sticky;top:0;align-self:flex-start;display:flex;flex-direction:column;gap:.3rem;padding:2rem 1.5rem;min-width:8rem}
nav a{color:inherit;text-decoration:none}nav a:hover{text-decoration:underline}main{padding:1rem 2rem 6rem;max-width:56rem;min-width:0}
h1 small{font-weight:normal;font-size:1rem;opacity:.6}h2{border-bottom:1px solid var(--line);margin-top:3rem}
h3{font:600 1rem/1.4 ui-monospace,monospace;margin:2rem 0 .3rem}h3 i{font:italic .85rem system-ui;opacity:.7}
b.GET{color:#2878c8}b.PUT,b.POST{color:#2a8c4a}b.DELETE{color:#c0392b}p{margin:.3rem 0}
pre{background:#8881;border:1px solid var(--line);border-radius:6px;padding:.6rem .8rem;overflow-x:auto;font-size:.85rem}
table{border-collapse:collapse;width:100%}td{border-top:1px solid var(--line);padding:.3rem .8rem .3rem 0;vertical-align:top}
tr:target{background:#fc08}@media(max-width:700px){body{display:block}nav{position:static;flex-flow:row wrap}}`;

function slug(tag: string): string {
  return tag.toLowerCase();
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
