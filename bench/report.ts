import {readFileSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {format, resolveConfig} from 'prettier';

const docs = new URL('../docs/memory.md', import.meta.url);

/** The tables of a benchmark: prints each when it is ready, and puts all of them into `docs/memory.md` in the end. */
export class Report {
  private readonly tables = new Map<string, string>();

  /**
   * @param name Where the docs show the table: between `<!-- name -->` and `<!-- end -->`.
   * @param caption For the screen only; the docs have words of their own.
   */
  table(name: string, caption: string, header: readonly string[], rows: readonly string[][]): void {
    const lines = [header, header.map(() => '---'), ...rows];
    const table = lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
    console.log(`\n${caption}\n\n${table}`);
    this.tables.set(name, table);
  }

  async writeDocs(): Promise<void> {
    let text = readFileSync(docs, 'utf8');
    for (const [name, table] of this.tables) {
      const [start, end] = [`<!-- ${name} -->`, '<!-- end -->'];
      const from = text.indexOf(start);
      if (from < 0) throw new Error(`docs/memory.md has no place '${start}'`);
      const to = text.indexOf(end, from);
      text = `${text.slice(0, from)}${start}\n\n${table}\n\n${text.slice(to)}`;
    }
    const options = await resolveConfig(fileURLToPath(docs));
    writeFileSync(docs, await format(text, {...options, parser: 'markdown'}));
  }
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
}

/** A goal, and whether a value reaches it. */
export function goal(value: number, atMost: number): string {
  return `≤ ${atMost} ${value <= atMost ? '✓' : '✗'}`;
}
