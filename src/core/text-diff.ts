/** A unified diff of two texts, as `diff -u` prints it (POSIX), by the longest common run of lines. */
const CONTEXT = 3;
/** Cells of the table that finds the common lines; beyond it, what lies between equal ends is replaced as a whole. */
const MOST_CELLS = 4_000_000;

type Line = readonly [mark: ' ' | '-' | '+', text: string];

/** Empty when the texts are equal. @param names of the two, for the head */
export function textDiff(before: string, after: string, names: readonly [string, string]): string {
  if (before === after) return '';
  const lines = compare(toLines(before), toLines(after));
  return `--- ${names[0]}\n+++ ${names[1]}\n${hunks(lines).join('')}`;
}

/** The last line may lack its end; that alone is no difference worth a line. */
function toLines(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function compare(a: readonly string[], b: readonly string[]): Line[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const middle = compareMiddle(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const same = (lines: readonly string[]) => lines.map((text): Line => [' ', text]);
  return [...same(a.slice(0, head)), ...middle, ...same(a.slice(a.length - tail))];
}

function compareMiddle(a: readonly string[], b: readonly string[]): Line[] {
  const gone = a.map((text): Line => ['-', text]);
  const come = b.map((text): Line => ['+', text]);
  if (a.length === 0 || b.length === 0 || (a.length + 1) * (b.length + 1) > MOST_CELLS) return [...gone, ...come];
  const width = b.length + 1;
  /** Length of the longest common sequence of what follows `i` in a and `j` in b. */
  const common = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const [below, right] = [common[(i + 1) * width + j]!, common[i * width + j + 1]!];
      common[i * width + j] = a[i] === b[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(below, right);
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      lines.push([' ', a[i]!]);
      i++;
      j++;
    } else if (common[(i + 1) * width + j]! >= common[i * width + j + 1]!) lines.push(gone[i++]!);
    else lines.push(come[j++]!);
  }
  return [...lines, ...gone.slice(i), ...come.slice(j)];
}

function hunks(lines: readonly Line[]): string[] {
  const result: string[] = [];
  const changed = lines.flatMap(([mark], i) => (mark === ' ' ? [] : [i]));
  let [oldLine, newLine, at] = [1, 1, 0];
  for (let c = 0; c < changed.length; ) {
    const from = Math.max(at, changed[c]! - CONTEXT);
    let last = changed[c]!;
    while (c < changed.length && changed[c]! - last <= 2 * CONTEXT) last = changed[c++]!;
    const to = Math.min(lines.length, last + CONTEXT + 1);
    oldLine += from - at;
    newLine += from - at;
    const part = lines.slice(from, to);
    const [olds, news] = [part.filter(([mark]) => mark !== '+').length, part.filter(([mark]) => mark !== '-').length];
    result.push(
      `@@ -${range(oldLine, olds)} +${range(newLine, news)} @@\n`,
      ...part.map(([mark, text]) => `${mark}${text}\n`),
    );
    oldLine += olds;
    newLine += news;
    at = to;
  }
  return result;
}

/** An empty range names the line before it. */
function range(line: number, count: number): string {
  return count === 1 ? String(line) : `${count === 0 ? line - 1 : line},${count}`;
}
