import {readFileSync} from 'node:fs';
import {expect} from 'chai';
import {
  guideBlocks,
  guideDifferences,
  withGuideFigures,
  type GuideFigures,
} from '../../tools/guide_page';

const page = readFileSync(new URL('../../docs/guide.md', import.meta.url), 'utf8');

describe('docs/guide.md', () => {
  /** A run that writes what the page says, or what `change` makes of it. */
  const runOf = (change = (output: string): string => output): GuideFigures[] =>
    guideBlocks(page).map(({output}) => ({
      ...{seconds: 100, bytes: 1.26e9},
      stdout: `${change(output ?? 'not on the page')}\n`,
    }));

  it('has blocks of code with outputs', () => {
    const blocks = guideBlocks(page);
    expect(blocks.filter(({language}) => language === 'js')).to.have.length(2);
    expect(blocks.filter(({output}) => output !== null)).to.have.length.above(6);
    expect(blocks.find(({code}) => code.includes('evaluate'))!.output).to.match(/^perplexity /);
    expect(() => guideBlocks('# no code\n')).to.throw('0 of 0 blocks');
    expect(() => guideBlocks(page.replaceAll('```\n', '~~~\n'))).to.throw(/0 of \d+ blocks/);
    expect(() => guideBlocks('```sh\nls\n```\n')).to.throw('no block has an output');
  });

  it('differs from a run by what is written, but for times', () => {
    expect(guideDifferences(page, runOf())).to.deep.equal([]);
    const slower = runOf((output) => output.replace(/(?<=^time +)\d+m\d+s/m, '1h02m'));
    expect(slower).not.to.deep.equal(runOf());
    expect(guideDifferences(page, slower)).to.deep.equal([]);
    const [other, ...rest] = guideDifferences(
      page,
      runOf((output) => output.replace(/(?<=^perplexity +)[\d.]+(?= →)/m, '9.999')),
    );
    expect(rest).to.deep.equal([]);
    expect(other).to.match(
      /^npx tfjs-owlore finetune [^]*: line \d is "perplexity +\d.* → .*" on the page, and "perplexity +9\.999 → .*" now$/,
    );
    const silent = guideDifferences(
      page,
      runOf(() => ''),
    );
    expect(silent).to.have.length(guideBlocks(page).filter(({output}) => output !== null).length);
  });

  it('leaves out lines where the page has a line of dots', () => {
    const short = '```sh\nls\n```\n\n```text\na\n…\ny\nz\n```\n';
    const runOf = (...lines: string[]): GuideFigures[] => [
      {seconds: 1, bytes: 1, stdout: lines.join('\n')},
    ];
    expect(guideDifferences(short, runOf('a', 'b', 'c', 'y', 'z'))).to.deep.equal([]);
    expect(guideDifferences(short, runOf('a', 'b', 'x', 'z'))).to.deep.equal([
      'ls: line 3 is "y" on the page, and "x" now',
    ]);
    expect(guideDifferences(short, runOf('a', 'z'))).to.have.length(1);
    expect(withGuideFigures(short, runOf('1', '2', '3', '4', '5'))).to.equal(
      '```sh\nls\n```\n\n```text\n1\n…\n4\n5\n```\n',
    );
  });

  it('takes the figures of a run', () => {
    const filled = withGuideFigures(page, runOf());
    expect(filled).to.include('\n(1.7 min, 1.3 GB)\n').and.not.to.include('not on the page');
    expect(filled.replaceAll(/^\(.* GB\)$/gm, '')).to.equal(page.replaceAll(/^\(.* GB\)$/gm, ''));
  });
});
