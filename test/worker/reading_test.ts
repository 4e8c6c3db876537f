import {expect} from 'chai';
import {countExamples, readingProgress} from '../../src/worker/reading';
import {emptyReport} from '../../src/llama/text/dataset_report';
import {options, start, text} from './worker_in_node';
import {itAtLength} from '../support/backends';

describe('the progress of reading examples', () => {
  const everyFifth = (i: number): boolean => i % 5 === 0;

  const all = {trained: Infinity, heldOut: Infinity};
  const count = (
    content: Blob,
    enough = all,
    onRead: (...of: number[]) => void = () => undefined,
  ): ReturnType<typeof countExamples> => countExamples('test', content, null, everyFifth, enough, onRead); // prettier-ignore

  it('counts the examples of a file, and none of one that is wrong', async () => {
    expect(await count(new Blob([text]))).to.deep.equal({trained: 48, heldOut: 12});
    const blank = new Blob(['{"text": "a"}\n\n{"text": \n']);
    expect(await count(blank)).to.deep.equal({trained: 1, heldOut: 1});
    expect(await count(new Blob(['[{"text": "a"}']))).to.equal(null);
  });

  it('counts no more than are enough, and tells of a long file how far it is', async () => {
    const line = '{"text": "Call me Ishmael."}\n';
    const long = new Blob([line.repeat(2 ** 22 / line.length)]);
    const told: number[][] = [];
    expect(await count(long, {trained: 20, heldOut: 7}, (...of) => told.push(of))).to.deep.equal({trained: 24, heldOut: 7}); // prettier-ignore
    expect(told).to.deep.equal([]);
    await count(long, all, (...of) => told.push(of));
    expect(told).to.deep.equal([1, 2, 3].map((chunks) => [2 ** 20 * chunks, long.size]));
  });

  it('goes back nowhere where it has no total', () => {
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

  itAtLength('comes to its end in a training, and goes back nowhere', async () => {
    const {training} = start({steps: 20, sampleEvery: 0});
    const said: Array<{done?: number; total?: number}> = [];
    training.on('status', (status) => {
      if (status.phase === 'data') said.push(status);
    });
    await training.ready;
    await training.stop();
    training.dispose();
    const [, ...parts] = said.map(({done, total}) => done! / total!);
    expect(parts.at(-1)).to.equal(1);
    expect(parts).to.deep.equal([...parts].sort((a, b) => a - b));
    // 60 lines, a twentieth of them held out, and 20 batches of 2 of the others
    expect(said.at(-1)).to.include({total: options.batchSize! * 20 + 3});
  });

  itAtLength('does not read all of a long file, of which steps need the beginning', async () => {
    const long = new Blob([`${text}\n`.repeat(10_000)]);
    const {slice} = Blob.prototype;
    let bytes = 0;
    Blob.prototype.slice = function (from, to, type) {
      if (this.size === long.size) bytes += to! - from!;
      return slice.call(this, from, to, type);
    };
    try {
      const {training} = start({data: {'long.txt': long}, sampleEvery: 0});
      void training.stop();
      const {examples, heldOutExamples} = await training.ready;
      await training.finished;
      training.dispose();
      expect({examples, heldOutExamples}).to.deep.equal({examples: 12, heldOutExamples: 500});
    } finally {
      Blob.prototype.slice = slice;
    }
    // for each of what is counted, trained on, held out, scored and shown, no more than 10,000 examples that are drawn from
    expect(bytes).to.be.within(1, long.size / 2);
  });
});
