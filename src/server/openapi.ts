/** OpenAPI 3.1 from the operations and their schemas: what is served is what is described. */

import { toJsonSchema } from '@valibot/to-json-schema';
import { Problem } from '../api/problem.ts';
import { MatchClause } from '../api/workload.ts';
import type { Operation, Schema } from './operation.ts';
import { templateOf } from './path-template.ts';

/** Codes that any operation may answer besides its own. */
const ERRORS: Readonly<Record<string, readonly number[]>> = {
  read: [400, 403, 404],
  write: [400, 403, 404, 409, 412, 413, 415, 422, 428, 503],
  agent: [400, 403],
};

export function toOpenApi(operations: readonly Operation[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) {
    const path = templateOf(operation.path);
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describe(operation) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Postern',
      version,
      description: 'Identity-based network policy for Linux hosts that are not in Kubernetes',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    servers: [{ url: '/' }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: { schemas: { Problem: schemaOf(Problem) } },
  };
}

function describe({ method, path, tag, summary, access, query = {}, body, answers }: Operation): object {
  const inPath = [...path.matchAll(/\/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = Object.entries(query).map(([name, { description, example }]) => ({
    name,
    in: 'query',
    description,
    schema: { type: 'string' },
    ...(example !== undefined && { example }),
  }));
  // What can be tried dry changes what exists, under the preconditions of HTTP.
  const inHeader = 'dryRun' in query ? PRECONDITIONS.filter(({ only }) => only === undefined || only === method) : [];
  const parameters = [...inPath, ...inQuery, ...inHeader.map(({ only: _only, ...header }) => header)];
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^A-Za-z0-9]+(\w)?/g, (_, letter = '') => letter.toUpperCase())}`,
    tags: [tag],
    summary,
    description: {
      read: 'Open to every local user.',
      write: 'For root and the server’s own user.',
      agent: 'For agents.',
    }[access],
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: true, content: contentOf(body.types, body.schema, body.example) },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, { schema, description, type = 'application/json' }]) => [
          status,
          {
            description,
            ...((schema !== undefined || type !== 'application/json') && { content: contentOf([type], schema) }),
          },
        ]),
      ),
      ...Object.fromEntries((ERRORS[access] ?? []).map((status) => [status, PROBLEM_RESPONSE])),
    },
  };
}

const PRECONDITIONS: readonly {
  readonly only?: Operation['method'];
  readonly name: string;
  readonly [more: string]: unknown;
}[] = [
  {
    name: 'If-Match',
    in: 'header',
    description:
      'ETag of what is there, as GET gave it: 412 when it has changed since. Of apply: those of all documents that exist. 428 without it where the server requires it.',
    schema: { type: 'string' },
  },
  {
    only: 'PUT',
    name: 'If-None-Match',
    in: 'header',
    description: '`*`: create only, 412 when it exists.',
    schema: { type: 'string' },
  },
];

const PROBLEM_RESPONSE = {
  description: 'RFC 9457 problem',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

function contentOf(types: readonly string[], schema: Schema | undefined, example?: unknown): object {
  const content = {
    ...(schema !== undefined && { schema: schemaOf(schema) }),
    ...(example !== undefined && { example }),
  };
  return Object.fromEntries(types.map((type) => [type, content]));
}

const known = new WeakMap<Schema, object>();

function schemaOf(schema: Schema): object {
  let result = known.get(schema);
  if (result === undefined) {
    const { $schema: _dialect, ...rest } = toJsonSchema(schema, {
      target: 'draft-2020-12',
      // Checks in code and transformations have no counterpart in JSON Schema: the description says what they ask.
      errorMode: 'ignore',
      typeMode: 'input',
      overrideSchema: ({ valibotSchema }) => (valibotSchema.type === 'lazy' ? matchSchema() : undefined),
    });
    // A list that may be absent reads as [], which is no answer that its own schema takes (at least one).
    result = JSON.parse(JSON.stringify(rest), (key, value) =>
      key === 'default' && Array.isArray(value) && value.length === 0 ? undefined : value,
    ) as object;
    known.set(schema, result);
  }
  return result;
}

/** One clause or a list of them, which `lazy` (there is no other) cannot say. */
function matchSchema() {
  const clause = schemaOf(MatchClause);
  return { anyOf: [clause, { type: 'array' as const, items: clause, minItems: 1, maxItems: 64 }] } as never;
}
