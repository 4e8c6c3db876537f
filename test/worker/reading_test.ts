import {expect} from 'chai';
import {countExamples, readingProgress} from '../../src/worker/reading';
import {emptyReport} from '../../src/llama/text/dataset_report';
import {options, start, text} from './worker_in_node';

describe('the progress of reading examples', () => {
  const everyFifth = (i: number): boolean => i % 5 === 0;

  it('counts the examples of a file, and none of one that is wrong', async () => {
    const count = (content: string): ReturnType<typeof countExamples> =>
      countExamples('test', new Blob([content]), null, everyFifth);
    expect(await count(text)).to.deep.equal({trained: 48, heldOut: 12});
    expect(await count('{"text": "a"}\n\n{"text": \n')).to.deep.equal({trained: 1, heldOut: 1});
    expect(await count('[{"text": "a"}')).to.equal(null);
  });

  it('does not read a long file once more, and goes back nowhere where it has no total', async () => {
    const line = '{"text": "Call me Ishmael."}\n';
    const long = new Blob([line.repeat(2 ** 25 / line.length + 1)]);
    expect(await countExamples('test', long, null, everyFifth)).to.equal(null);
    const said: unknown[][] = [];
    const tell = readingProgress(null, {batches: 2, batchSize: 4}, (...of) => void said.push(of));
    const report = (used: number): ReturnType<typeof emptyReport> => ({...emptyReport(0), used});
    tell.trained(report(4));
    tell.trained(report(8));
    tell.heldOut(report(4));
    expect(said).to.deep.equal([[4], [8], [12]]);
  });

  it('tells examples of those that are read, whatever a batch has of them', () => {
    const said: unknown[] = [];
    const report = (used: number, batches: number): ReturnType<typeof emptyReport> => ({
      ...emptyReport(0),
      ...{used, dropped: 1, batches},
    });
    const onRead = (done: number, total?: number): unknown => said.push([done, total]);
    const tell = readingProgress({trained: 100, heldOut: 10}, {batches: 10, batchSize: 4}, (...of) => void onRead(...of)); // prettier-ignore
    tell.trained(report(3, 1));
    tell.trained(report(79, 2)); // packed, short ones
    tell.trained(report(9, 10)); // or long ones
    tell.heldOut(report(3, 1));
    tell.heldOut(report(9, 3));
    expect(said).to.deep.equal([
      [4, 50],
      [32, 50],
      [40, 50],
      [44, 50],
      [50, 50],
    ]);
  });

  it('comes to its end in a training, and goes back nowhere', async () => {
    const {training} = start({steps: 20, sampleEvery: 0});
    const said: Array<{done?: number; total?: number}> = [];
    training.on('status', (status) => {
      if (status.phase === 'data') said.push(status);
    });
    await training.ready;
    training.dispose();
    const [, ...parts] = said.map(({done, total}) => done! / total!);
    expect(parts.at(-1)).to.equal(1);
    expect(parts).to.deep.equal([...parts].sort((a, b) => a - b));
    // 60 lines, a twentieth of them held out, and 20 batches of 2 of the others
    expect(said.at(-1)).to.include({total: options.batchSize! * 20 + 3});
  });
});
