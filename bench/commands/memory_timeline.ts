/**
 * Draws how many bytes are alive at each moment of a step of full fine-tuning, with stock tfjs and with this library.
 *
 *   npm run bench -- memory_timeline                 # writes docs/memory.svg, docs/measurements.md, bench/results/timeline.json
 *
 * The bytes are those of a backend that knows shapes alone, and so of a real step on tensorflow, on any machine.
 */
import {writeFileSync} from 'node:fs';
import {watchStep, type Sample, type Timeline} from '../harness/live_bytes';
import {onShapes} from '../harness/shapes';
import {referenceShape, trainedSets, variantTitles} from '../harness/workload';
import {provenance, WHOLE, writeRecord} from '../results/store';
import {printTables} from '../tables/document';
import {writeDocument} from '../tables/documents';
import {drawTimelines, type Panel} from '../tables/memory_picture';
import {timelineTables, total} from '../tables/timeline_tables';

/** Samples that a panel of a few hundred pixels can show. */
const SAMPLES = 300;

const before = provenance();
const panels: Panel[] = [];
for (const variant of ['stock', 'none', 'auto'] as const) {
  const options = {shape: referenceShape, trained: trainedSets.full, variant};
  const timeline = onShapes('tensorflow', () => watchStep(options));
  panels.push({
    title: variant === 'stock' ? 'stock tfjs' : `this library, ${variantTitles[variant]}`,
    ...thinned(timeline),
  });
}
writeFileSync(new URL('../../docs/memory.svg', import.meta.url), drawTimelines(panels));
const peaks = panels.map(({title, samples}) => ({title, ...highest(samples)}));
printTables(timelineTables(await writeRecord('timeline', WHOLE, {...before, measured: {peaks}})));
await writeDocument('measurements.md');

/** Fewer samples: of each stretch the highest, so that no peak is lost. */
function thinned({samples, forwardEnd}: Timeline): Timeline {
  const stretch = Math.ceil(samples.length / SAMPLES);
  const starts = Array.from({length: Math.ceil(samples.length / stretch)}, (_, i) => i * stretch);
  return {
    samples: starts.map((start) => highest(samples.slice(start, start + stretch))),
    forwardEnd,
  };
}

function highest(samples: readonly Sample[]): Sample {
  return samples.reduce((a, b) => (total(b) > total(a) ? b : a));
}
