/** The tables that the demo prints before and after training. */
import {bar, newTable} from '../src/cli/table';
import type {BlockRecord, MemoryRecord, RunRecord} from '../src/cli/report/report';

/** A run of the demo, which has everything that a report can show. */
export type DemoRun = RunRecord & {memory: {full: MemoryRecord}};

/** Prints the score of each block, and the probability of training that follows from it. */
export function printScores(
  scoreTitle: string | null,
  tau: number | null,
  blocks: readonly BlockRecord[],
): void {
  const largest = Math.max(...blocks.map(({score}) => score ?? 0));
  const table = newTable(['block', ...(scoreTitle ? [scoreTitle, ''] : []), 'probability', '']);
  for (const {name, score, probability} of blocks) {
    const scoreCells = score === null ? [] : [formatScore(scoreTitle, score), bar(score / largest)];
    table.push([name, ...scoreCells, probability.toFixed(3), bar(probability)]);
  }
  if (tau) console.log(`Outliers: above ${tau} times the mean of their block.`);
  console.log(`${table.toString()}\n`);
}

/** Prints the result: texts, how often each block trained, loss and memory. */
export function printResult(run: DemoRun): void {
  const {heldOut, blocks, steps, memory, samples, seconds} = run;
  for (const {prompt, before, after} of samples)
    console.log(`\nBefore:\n${wrap(prompt + before)}\n\nAfter:\n${wrap(prompt + after)}\n`);

  const trained = newTable(['block', 'steps trained', 'expected', '']);
  for (const {name, probability, stepsTrained} of blocks) {
    const expected = (probability * steps.length).toFixed(0);
    trained.push([name, stepsTrained, expected, bar(stepsTrained / steps.length)]);
  }
  console.log(`${trained.toString()}\n`);

  const [first, last] = [heldOut[0]!.loss, heldOut.at(-1)!.loss];
  const measured = newTable(['measured', run.method, 'tf.train.adam on everything']);
  measured.push(
    ['held-out loss', `${first.toFixed(3)} → ${last.toFixed(3)}`, ''],
    ['peak tensor memory', megabytes(memory.method.peak), megabytes(memory.full.peak)],
    ['optimizer state', megabytes(memory.method.state), megabytes(memory.full.state)],
    ['time', `${seconds.toFixed(0)} s`, ''],
  );
  console.log(measured.toString());
}

function formatScore(title: string | null, score: number): string {
  return title === 'outlier ratio' ? `${(100 * score).toPrecision(3)} %` : score.toPrecision(3);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Breaks lines between words, at most 78 characters long. */
function wrap(text: string): string {
  return text.replace(/(?![^\n]{1,76}$)([^\n]{1,76})\s/g, '$1\n').replace(/^(?=.)/gm, '  ');
}
