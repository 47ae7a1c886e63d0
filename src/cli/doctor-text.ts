/** What `postern doctor` prints, pure: findings → lines, the worst first. */
import { type DropIn, type Finding, SEVERITIES } from '../api/findings.ts';
import { quote } from './curl.ts';
import type { Out } from './out.ts';

const COLOURS = { high: 'red', medium: 'yellow', low: 'cyan' } as const;

export function findingsText(findings: readonly Finding[], colour: Out['colour']): string {
  const blocks = findings.map((finding) => findingText(finding, colour));
  const dropIns = new Map(
    findings.flatMap(({ fix }) => (fix.dropIn === undefined ? [] : [[fix.dropIn.unit, fix.dropIn]])),
  );
  const closing = [...dropIns.values()].map(dropInText);
  const counts = SEVERITIES.flatMap((severity) => {
    const n = findings.filter((finding) => finding.severity === severity).length;
    return n === 0 ? [] : [`${n} ${severity}`];
  });
  return [...blocks, ...closing, counts.join(', ')].join('\n\n');
}

function findingText(finding: Finding, colour: Out['colour']): string {
  const { severity, workload, host, unit, processes, more, what, means, fix } = finding;
  const commands = fix.dropIn === undefined ? (fix.commands ?? []) : [];
  return [
    `${colour(COLOURS[severity], severity.toUpperCase())}  ${colour('bold', workload ?? host)}  ${what}`,
    `  ${means}`,
    ...(processes.length === 0
      ? []
      : [`  where: ${unit === undefined ? '' : `${unit}, `}${processesText(processes, more)}`]),
    `  fix:   ${fix.text}`,
    ...commands.map((command) => `         ${command}`),
  ].join('\n');
}

function processesText(processes: Finding['processes'], more = 0): string {
  const shown = processes.slice(0, 3).map(({ pid, exe }) => `${exe} (pid ${pid})`.trimStart());
  const rest = processes.length - shown.length + more;
  return `${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Once for a unit, whatever was found of it; without the comments of the file. */
function dropInText({ unit, path, content }: DropIn): string {
  const settings = content.split('\n').filter((line) => line !== '' && !line.startsWith('# '));
  const folder = path.slice(0, path.lastIndexOf('/'));
  return [
    `${path}`,
    ...settings.map((line) => `    ${line}`),
    `  to write it: mkdir -p ${quote(folder)} && postern doctor --drop-in ${quote(unit)} > ${quote(path)}`,
  ].join('\n');
}
