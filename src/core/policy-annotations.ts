/** Postern's own words in a policy document: annotations under `postern.dev/`. All others are somebody else's. */
import { DENIALS, type Denial } from './denial.ts';
import { nearest } from './nearest.ts';
import { add, NOT_SUPPORTED, type Report, refuse } from './policy-fields.ts';

export const MODE_ANNOTATION = 'postern.dev/mode';
export const DENY_ANNOTATION = 'postern.dev/deny';
export const OWNER_ANNOTATION = 'postern.dev/owner';
export const EXPIRES_ANNOTATION = 'postern.dev/expires';

export interface PolicyAnnotations {
  readonly mode?: string;
  /** How what it denies feels. */
  readonly deny?: Denial;
  /** Whom to ask about it. */
  readonly owner?: string;
  /** RFC 3339: when it goes out of force by itself. */
  readonly expires?: string;
}

/** Of a document that was accepted. */
export function annotationsOf(document: Readonly<Record<string, unknown>>): PolicyAnnotations {
  const { annotations } = (document.metadata ?? {}) as { annotations?: Readonly<Record<string, string>> };
  const [mode, deny, owner, expires] = [MODE_ANNOTATION, DENY_ANNOTATION, OWNER_ANNOTATION, EXPIRES_ANNOTATION].map(
    (key) => annotations?.[key],
  );
  return {
    ...(mode !== undefined && { mode }),
    ...(deny !== undefined && { deny: deny as Denial }),
    ...(owner !== undefined && { owner }),
    ...(expires !== undefined && { expires }),
  };
}

const MODES = ['enforce', 'audit'];
const OURS = [MODE_ANNOTATION, DENY_ANNOTATION, OWNER_ANNOTATION, EXPIRES_ANNOTATION];

/** @param path of the annotation */
export function checkAnnotation(report: Report, path: string, key: string, text: unknown): void {
  if (!key.startsWith('postern.dev/') || typeof text !== 'string') return;
  if (key === MODE_ANNOTATION) {
    if (!MODES.includes(text)) refuse(report, path, `unknown mode in annotation ${MODE_ANNOTATION}`, text, MODES);
  } else if (key === DENY_ANNOTATION) {
    if (!(DENIALS as readonly unknown[]).includes(text))
      refuse(report, path, `unknown word in annotation ${DENY_ANNOTATION}`, text, [...DENIALS]);
  } else if (key === OWNER_ANNOTATION) {
    if (text.trim() === '' || text.length > 256)
      refuse(report, path, 'must be a name or an address, at most 256 characters', text);
  } else if (key === EXPIRES_ANNOTATION) {
    if (!TIME.test(text) || Number.isNaN(Date.parse(text)))
      refuse(report, path, 'must be a time, such as "2026-12-31T18:00:00Z"', text);
  } else {
    const near = nearest(key, OURS);
    const meant = near === undefined ? '' : `; did you mean ${near}?`;
    add(report, {
      path,
      message: `annotation ${key} is not supported yet${meant}`,
      code: NOT_SUPPORTED,
      value: text,
      allowed: OURS,
    });
  }
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;
