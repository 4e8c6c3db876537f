import {readFileSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {format, resolveConfig} from 'prettier';
import {isReached, type Goal} from './figure';

/** The tables of a benchmark: prints each when it is ready, and puts all of them into a document in the end. */
export class Report {
  private readonly tables = new Map<string, string>();

  /** @param document A file of `docs/`. */
  constructor(private readonly document: string) {}

  /**
   * @param name Where the document shows the table: between `<!-- name -->` and `<!-- end -->`.
   * @param caption For the screen only; the document has words of its own.
   */
  table(name: string, caption: string, header: readonly string[], rows: readonly string[][]): void {
    const table = markdownTable(header, rows);
    printTable(caption, table);
    this.tables.set(name, table);
  }

  writeDocs(): Promise<void> {
    return writeTables(this.document, this.tables);
  }
}

export function printTable(caption: string, table: string): void {
  console.log(`\n${caption}\n\n${table}`);
}

/** Puts tables into the places of their names in a file of `docs/`. */
export async function writeTables(
  document: string,
  tables: ReadonlyMap<string, string>,
): Promise<void> {
  const file = new URL(`../docs/${document}`, import.meta.url);
  let text = readFileSync(file, 'utf8');
  for (const [name, table] of tables) text = withTable(text, name, table);
  const options = await resolveConfig(fileURLToPath(file));
  writeFileSync(file, await format(text, {...options, parser: 'markdown'}));
}

export function markdownTable(header: readonly string[], rows: readonly string[][]): string {
  const lines = [header, header.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/**
 * `text` with `table` between `<!-- name -->` and the next `<!-- end -->`, in place of what was there.
 *
 * @throws if there is no such place.
 */
export function withTable(text: string, name: string, table: string): string {
  const [start, end] = [`<!-- ${name} -->`, '<!-- end -->'];
  const from = text.indexOf(start);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`the document has no place '${start} … ${end}'`);
  return `${text.slice(0, from)}${start}\n\n${table}\n\n${text.slice(to)}`;
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
}

/**
 * A goal, and whether a value reaches it.
 *
 * @param written How the goal's number is written.
 */
export function verdict(
  value: number,
  goal: Goal,
  written: (bound: number) => string = String,
): string {
  const [sign, bound] = 'atMost' in goal ? ['≤', goal.atMost] : ['≥', goal.atLeast];
  return `${sign} ${written(bound)} ${isReached(value, goal) ? '✓' : '✗'}`;
}
