/** Columns that line up. Nothing is cut: a name that cannot be copied from the screen is useless. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return alignRows([header, ...rows]).join('\n');
}

/**
 * One line per row; cells of a column begin below each other, two spaces apart; the last cell is not padded.
 * `widths` is what earlier rows needed, and grows: rows that come one by one line up with those before.
 */
export function alignRows(rows: readonly (readonly string[])[], widths: number[] = []): string[] {
  for (const row of rows) {
    row.slice(0, -1).forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cellWidth(cell));
    });
  }
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat(widths[i]! - cellWidth(cell))))
      .join('  ')
      .trimEnd(),
  );
}

/** Columns on a terminal: escape sequences count nothing. */
export function cellWidth(cell: string): number {
  return [...cell.replace(/\x1b\[[0-9;]*m/g, '')].length;
}
