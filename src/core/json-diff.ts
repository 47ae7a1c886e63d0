/** What differs between two JSON values, member by member, as a person would list it. */
export interface JsonChange {
  /** JSON pointer. */
  readonly path: string;
  /** Absent = was not there. */
  readonly before?: unknown;
  /** Absent = is gone. */
  readonly after?: unknown;
}

/** In the order of the values. Lists are compared place by place. */
export function jsonDiff(before: unknown, after: unknown, path = ''): JsonChange[] {
  if (isContainer(before) && isContainer(after) && Array.isArray(before) === Array.isArray(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => {
      const here = `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      return jsonDiff(own(before, key), own(after, key), here);
    });
  }
  if (before === after || JSON.stringify(before) === JSON.stringify(after)) return [];
  return [{ path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }];
}

function isContainer(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function own(value: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}
