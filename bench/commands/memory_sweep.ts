/**
 * How the peak of tensor memory grows with depth, sequence length and vocabulary.
 *
 *   npm run bench -- memory_sweep
 *
 * The figures come from a backend that knows shapes alone, as the tensorflow backend makes and frees
 * them; some points are run on tensorflow as well, where it is there, and must agree. Exits with 1 if a claim fails.
 *
 * With `--write` the figures go to `bench/results/sweep.json`.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {loadBackend} from '../../tools/load_backend';
import {onShapes} from '../harness/shapes';
import {measureAlone} from '../harness/turns';
import {referenceShape, trainedSets} from '../harness/workload';
import {isReached} from '../results/figure';
import {provenance, WHOLE, writeRecord} from '../results/store';
import {printTables} from '../tables/document';
import {
  depths,
  keyOf,
  lengths,
  smallest,
  sweepClaims,
  sweepSets,
  sweepTables,
  sweepVariants,
  vocabularies,
  type Point,
  type PointFigures,
  type SweepMeasurements,
} from '../tables/sweep_tables';

const {values: flags} = parseArgs({options: {write: {type: 'boolean', default: false}}});

const before = provenance();

function measure({set, variant, ...size}: Point): PointFigures {
  const shape = {...referenceShape, ...size};
  return measureAlone({shape, trained: trainedSets[set], variant});
}

const points: Point[] = sweepSets.flatMap((set) =>
  vocabularies.flatMap((vocabulary) =>
    depths.flatMap((layers) =>
      lengths.flatMap((length) =>
        sweepVariants.map((variant) => ({set, variant, layers, length, vocabulary})),
      ),
    ),
  ),
);

/** Points that a small machine can run in full. */
const realPoints: Point[] = [
  {...smallest, variant: 'stock', length: 256},
  {...smallest, variant: 'none', length: 512},
  {...smallest, layers: 16},
  {...smallest, length: 1024},
  {...smallest, set: 'lisa', vocabulary: 32_768},
];

const measured: SweepMeasurements = {points: [], checked: []};
for (const point of points)
  measured.points.push({...point, ...onShapes('tensorflow', () => measure(point))});
if (await loadBackend('tensorflow')) {
  await tf.setBackend('tensorflow');
  for (const point of realPoints) {
    const {peak: real} = measure(point);
    const byShapes = measured.points.find((other) => keyOf(other) === keyOf(point))!;
    measured.checked.push({...point, shapesOnly: byShapes.peak, real});
  }
}

const figures = sweepClaims(measured);
const record = {...before, figures, measured};
printTables(sweepTables({[WHOLE]: record}));
console.log();
for (const {name, value, goal} of figures) {
  const holds = isReached(value, goal);
  console.log(
    `${holds ? 'holds' : 'FAILS'}: ${name}: ${Number(value.toFixed(2))}, at most ${goal.atMost}`,
  );
  if (!holds) process.exitCode = 1;
}
if (flags.write) await writeRecord('sweep', WHOLE, record);
