import { contentHash } from './hash.ts';

/**
 * Numbers for what decided: the kernel carries a u32, the agent turns it back into rule names. A number depends on the
 * names alone (a collision moves to the next free one), so that events of an earlier run of the agent still resolve.
 */
export class RuleTable {
  readonly #byNumber = new Map<number, readonly string[]>();
  readonly #byNames = new Map<string, number>();

  /** 0 = no rule. */
  number(rules: readonly string[]): number {
    if (rules.length === 0) return 0;
    const names = rules.join('\n');
    const known = this.#byNames.get(names);
    if (known !== undefined) return known;
    let number = contentHash(names);
    while (this.#byNumber.has(number)) number = (number + 1) >>> 0 || 1;
    this.#byNumber.set(number, rules);
    this.#byNames.set(names, number);
    return number;
  }

  names(number: number): readonly string[] {
    return this.#byNumber.get(number) ?? [];
  }
}
