/** docs/guide.md as a program reads it: blocks of code, and below some of them what they took and what they wrote. */

/** A block of code; below it, if the page has them, a line of figures and the output. */
const BLOCK = /^```(sh|js)\n([^]*?)^```\n(\n\([^)\n]*\)\n)?(\n```text\n[^]*?^```\n)?/gm;

/** What a command says of itself in its output: `time  4m31s, 50 steps`. */
const TIME = /^(time +)[\dhms]+/gm;

/** A block of the page. */
export interface GuideBlock {
  language: 'sh' | 'js';
  code: string;
  /** What the page says that it writes; null if nothing. */
  output: string | null;
}

/** What came of running a block. */
export interface GuideFigures {
  seconds: number;
  /** The highest resident memory of a process. */
  bytes: number;
  /** Of the last command; of `finetune` what it says to people, too. */
  stdout: string;
}

/**
 * All blocks of a page, in their order.
 *
 * @throws if there are none, if one of them is not closed, or if none has an output.
 */
export function guideBlocks(page: string): GuideBlock[] {
  const blocks = [...page.matchAll(BLOCK)].map(([, language, code, , output]): GuideBlock => ({
    language: language as GuideBlock['language'],
    code: code!,
    output: output === undefined ? null : textIn(output),
  }));
  const begun = page.match(/^```(sh|js)$/gm)?.length ?? 0;
  if (blocks.length === 0 || blocks.length !== begun) {
    throw new Error(`${blocks.length} of ${begun} blocks of code were found in the page`);
  }
  if (blocks.every(({output}) => output === null)) throw new Error('no block has an output');
  return blocks;
}

/** What a block of output has in it. */
function textIn(block: string): string {
  return /^```text\n([^]*?)^```$/m.exec(block)![1]!.trim();
}

/** What the blocks have written that the page has not, but for times: a sentence each. */
export function guideDifferences(page: string, all: readonly GuideFigures[]): string[] {
  return guideBlocks(page).flatMap(({code, output}, i) => {
    if (output === null) return [];
    const [on, now] = [output, asOnPage(output, all[i]!.stdout)].map((text) =>
      text.replaceAll(TIME, '$1…').split('\n'),
    );
    const line = Array.from({length: Math.max(on!.length, now!.length)}, (_, j) => j).find(
      (j) => on![j] !== now![j],
    );
    if (line === undefined) return [];
    const shown = [on, now].map((lines) => JSON.stringify(lines![line] ?? null));
    return [`${code.trim()}: line ${line + 1} is ${shown[0]} on the page, and ${shown[1]} now`];
  });
}

/** An output without the lines in whose place the page has a line `…`: as many are left at both ends as there. */
function asOnPage(output: string, now: string): string {
  const [on, lines] = [output, now].map((text) => text.trim().split('\n')) as [string[], string[]];
  const gap = on.indexOf('…');
  const last = on.length - gap - 1;
  if (gap < 0 || lines.length < on.length) return lines.join('\n');
  return [...lines.slice(0, gap), '…', ...lines.slice(lines.length - last)].join('\n');
}

/** The page with the figures of a run, where it has figures or output. */
export function withGuideFigures(page: string, all: readonly GuideFigures[]): string {
  let index = 0;
  return page.replace(
    BLOCK,
    (_block, language: string, code: string, figures?: string, output?: string) => {
      const {seconds, bytes, stdout} = all[index++]!;
      return (
        `\`\`\`${language}\n${code}\`\`\`\n` +
        (figures === undefined
          ? ''
          : `\n(${duration(seconds)}, ${(bytes / 1e9).toFixed(1)} GB)\n`) +
        (output === undefined ? '' : `\n\`\`\`text\n${asOnPage(textIn(output), stdout)}\n\`\`\`\n`)
      );
    },
  );
}

function duration(seconds: number): string {
  return seconds < 90 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(1)} min`;
}
