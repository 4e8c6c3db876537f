/**
 * Peaks of tensor memory in real training steps beside what `estimateMemory` says.
 *
 *   npm run bench -- estimate --model FOLDER                          # that model, on tensorflow and wasm
 *   npm run bench -- estimate --backends cpu --batch 2 --length 16    # W1, the reference workload
 *
 * For methods, checkpoints, ways to train the embedding, kinds of frozen weights, updates, LoRA's targets and dropout, and parts of the labels
 * that count, on each backend. Two steps of random tokens for each line, since a peak does not depend on values; the first one makes the
 * bases. The blocks that are on are the first and others at equal distances: with the first one on, the backward pass goes through all
 * blocks, which takes the most memory. With `--refresh-interval 1` the second step has a refresh.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {
  paperMethod,
  type LayerSamplingOptions,
  type OwLoreOptions,
  type PaperMethodName,
} from '../../src';
import {embeddingModes, trainEmbedding} from '../../src/memory/estimate/embedding_mode';
import '../../src/lora';
import {createLlama, loadLlama, saveLlama, sparseCrossEntropy} from '../../src/llama';
import {estimateMemory, type EstimateOptions} from '../../src/memory/estimate';
import {startMemoryMeter} from '../../src/memory/meter';
import {paperMethodNames, paperMethods, trainsRest, type MethodParts} from '../../src/methods';
import {owloreDefaults} from '../../src/owlore/optimizer/options';
import {howToGet, loadBackend, type BackendName} from '../../tools/load_backend';
import {runApart} from '../harness/run_apart';
import {referenceShape} from '../harness/workload';

const MB = 1e6;

const {values} = parseArgs({
  options: {
    /** A model's folder; default: W1. */
    model: {type: 'string'},
    backends: {type: 'string', default: 'tensorflow,wasm'},
    methods: {type: 'string', default: paperMethodNames.join(',')},
    checkpoints: {type: 'string', default: 'auto,none'},
    embeddings: {type: 'string', default: embeddingModes.join(',')},
    frozen: {type: 'string', default: 'F32,BF16'},
    /** Of low-rank matrices. */
    updates: {type: 'string', default: owloreDefaults.update},
    'refresh-interval': {type: 'string', default: '200'},
    moments: {type: 'string', default: 'keep'},
    /** Of LoRA; lists of targets are divided by `+`. */
    targets: {type: 'string', default: 'all-linear'},
    dropout: {type: 'string', default: '0'},
    /** The part of the labels that is counted. */
    counted: {type: 'string', default: '1'},
    gamma: {type: 'string', default: '3'},
    rank: {type: 'string', default: '64'},
    batch: {type: 'string', default: '4'},
    length: {type: 'string', default: '128'},
    /** For the process of one backend. */
    alone: {type: 'boolean', default: false},
  },
});
const [gamma, batch, length] = [values.gamma, values.batch, values.length].map(Number) as [
  ...[number, number, number],
];

if (values.alone) await measureAll(values.backends as BackendName);
else {
  // as a path, since a relative one may be a name on the Hub
  const folder = resolve(values.model ?? mkdtempSync(join(tmpdir(), 'owlore-estimate-')));
  try {
    if (values.model === undefined) await saveReference(folder);
    const head = [
      'backend',
      'method',
      'checkpoint',
      'embedding',
      'frozen',
      'other options',
      'state, MB',
      'estimated',
    ];
    const columns = [...head, 'peak, MB', 'estimated', 'off'];
    console.log(`| ${columns.join(' | ')} |`);
    console.log(`| ${columns.map(() => '---').join(' | ')} |`);
    for (const backends of values.backends.split(',')) {
      runApart(import.meta.url, {...values, model: folder, backends, alone: true});
    }
  } finally {
    if (values.model === undefined) rmSync(folder, {recursive: true, force: true});
  }
}

async function saveReference(folder: string): Promise<void> {
  const {layers, hidden, intermediate, heads, vocabulary} = referenceShape;
  await loadBackend('cpu');
  const model = createLlama({
    ...{vocabSize: vocabulary, hiddenSize: hidden, intermediateSize: intermediate},
    ...{numHiddenLayers: layers, numAttentionHeads: heads, seed: 1},
  });
  await saveLlama(model, folder);
  model.dispose();
}

interface Case {
  method: PaperMethodName;
  checkpoint: 'auto' | 'none';
  embedding: (typeof embeddingModes)[number];
  frozen: 'F32' | 'BF16';
  /** Names and values, of the optimizer, LoRA and the labels. */
  update: NonNullable<EstimateOptions['update']>;
  targets: string;
  counted: number;
}

async function measureAll(backend: BackendName): Promise<void> {
  if (!(await loadBackend(backend))) {
    console.log(`${backend}: not there; ${howToGet[backend]}`);
    return;
  }
  await tf.setBackend(backend);
  console.info = () => undefined;
  console.warn = () => undefined;
  for (const frozen of values.frozen.split(',') as Case['frozen'][])
    for (const method of values.methods.split(',') as PaperMethodName[])
      for (const embedding of values.embeddings.split(',') as Case['embedding'][])
        for (const checkpoint of values.checkpoints.split(',') as Case['checkpoint'][]) {
          const {sampling, lora, lowRank}: MethodParts = paperMethods[method];
          if (embedding !== 'full' && !trainsRest(method)) continue;
          if (frozen === 'BF16' && (!sampling || lora)) continue;
          for (const update of values.updates.split(',') as Case['update'][])
            for (const targets of values.targets.split(','))
              for (const counted of values.counted.split(',').map(Number)) {
                if (update !== owloreDefaults.update && !lowRank && embedding !== 'low-rank')
                  continue;
                if (targets !== 'all-linear' && !lora) continue;
                const one = {method, checkpoint, embedding, frozen, update, targets, counted};
                await measure(backend, one);
              }
        }
}

async function measure(backend: BackendName, one: Case): Promise<void> {
  const {method, checkpoint, embedding, frozen, update, targets, counted} = one;
  const meter = startMemoryMeter();
  const {model, config} = await loadLlama(values.model!, {headInLoss: true, frozenDtype: frozen});
  const {sampling, lora: isLora}: MethodParts = paperMethods[method];
  const rank = isLora ? 8 : Number(values.rank);
  const project = trainsRest(method) ? trainEmbedding(embedding, model, method) : {};
  const dropout = Number(values.dropout);
  const loraOptions = isLora ? {targets: targets.split('+'), dropout} : {};
  const {optimizer, callback, lora} = paperMethod(method, model, {
    ...{rank, gradientCheckpointing: checkpoint, update, ...loraOptions, ...project},
    refreshInterval: Number(values['refresh-interval']),
    moments: values.moments as OwLoreOptions['moments'],
    ...(sampling && drawn(config.numHiddenLayers, method)),
  });
  model.compile({optimizer, loss: sparseCrossEntropy});
  meter.reset();
  const dataset = {size: NaN, iterator: async () => batches(config.vocabSize, counted)};
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- tfjs calls its iterator alone
  await model.fitDataset(dataset, {
    ...{epochs: 1, batchesPerEpoch: 2, verbose: 0},
    callbacks: callback ? [callback] : [],
  });
  const [state, peak] = [optimizer.stateBytes, meter.peak()];
  const estimate = estimateMemory(model, {
    ...{method, rank, backend, gradientCheckpointing: checkpoint},
    ...{frozenDtype: frozen, batchSize: batch, maxLength: length},
    ...(trainsRest(method) && {embedding}),
    ...{update, ...loraOptions, countedLabels: counted},
    ...(sampling && {gamma: method === 'badam' ? 1 : gamma}),
  });
  const error = `${(100 * (estimate.total / peak - 1)).toFixed(1)} %`;
  const figures = [state, estimate.state, peak, estimate.total].map(mb);
  const others = [
    ...(update === owloreDefaults.update ? [] : [update]),
    ...(isLora && targets !== 'all-linear' ? [targets] : []),
    ...(isLora && dropout > 0 ? [`dropout ${dropout}`] : []),
    ...(counted < 1 ? [`${100 * counted} % of labels`] : []),
  ].join(', ');
  const cells = [backend, method, checkpoint, embedding, frozen, others, ...figures, error];
  console.log(`| ${cells.join(' | ')} |`);
  optimizer.dispose();
  lora?.remove();
  model.dispose();
  meter.stop();
}

function mb(bytes: number): string {
  return (bytes / MB).toFixed(2);
}

/** Turns on the first block and others at equal distances, whatever the method's sampler. */
function drawn(blocks: number, method: PaperMethodName): LayerSamplingOptions {
  const count = method === 'badam' ? 1 : gamma;
  const on = Array.from({length: count}, (_, i) => Math.floor((i * blocks) / count));
  return {
    sampler: 'exact',
    probabilities: Array.from({length: blocks}, (_, i) => (on.includes(i) ? 1 : 0)),
    interval: 100,
  };
}

/** Sequences of random token ids, each labelled with the next. */
async function* batches(
  vocabulary: number,
  counted: number,
): AsyncGenerator<{xs: tf.Tensor; ys: tf.Tensor}, void> {
  for (let i = 1; ; i++) {
    yield tf.tidy(() => {
      const ids = tf.randomUniform([batch, length + 1], 0, vocabulary, 'int32', i);
      const from = (start: number): tf.Tensor => tf.slice(ids, [0, start], [batch, length]);
      // of each sequence the last ones, as answers are
      const first = Math.round((1 - counted) * length);
      const isCounted = tf.greaterEqual(tf.range(0, length, 1, 'int32'), first);
      return {
        xs: from(0),
        ys: tf.expandDims(tf.where(isCounted, from(1), tf.scalar(-100, 'int32')), 2),
      };
    });
  }
}
