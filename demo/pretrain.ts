/**
 * Makes what the demo starts from: a byte-pair tokenizer and a small LLaMA-style model, both trained here on the
 * State of the Union addresses, and writes them to demo/model.
 *
 *   npm run pretrain -w demo                            # README.md says how long this takes
 *   npm run pretrain -w demo -- --backend wasm          # the same without a native library, slower
 */
import {Tokenizer} from '@huggingface/tokenizers';
import {OwLoreOptimizer, cosineDecay, findBlocks, warmup} from '../src/index';
import {createLlama, sparseCrossEntropy} from '../src/llama/index';
import {selectBackend} from '../tools/select_backend';
import {trainTokenizer} from './bpe';
import {readPretrainingLine} from './command_line';
import {encodeDocuments, evenWindows, randomWindows} from './dataset';
import {lossOn} from './held_out_loss';
import {startProgress} from '../src/cli/progress';
import {TrainingMonitor} from '../src/cli/training_monitor';
import {startMemoryMeter} from '../src/memory/meter';
import {savePretrained} from './pretrained';
import {sampleText} from './sample';
import {pretrainingTexts} from '../tools/texts';

const config = {
  vocabSize: 512, // 256 bytes, the separator of documents and 255 merges
  hiddenSize: 128,
  intermediateSize: 344, // 8/3 of the width, as in LLaMA, up to a multiple of 8
  numHiddenLayers: 8,
  numAttentionHeads: 4,
  maxPositionEmbeddings: 128,
};
const seed = 1; // of the initial weights, the order of the text and the sample
const batchSize = 8; // windows of 128 tokens in a step
const peakLearningRate = 3e-3; // before half a cosine down to a tenth
const warmupSteps = 100;
const weightDecay = 0.1;
const clipNorm = 1;

const {steps, backend} = readPretrainingLine(process.argv.slice(2), warmupSteps);

await selectBackend(backend);
const meter = startMemoryMeter();

const texts = pretrainingTexts();
const tokenizerJson = trainTokenizer(texts.train, config.vocabSize);
const tokenizer = new Tokenizer(tokenizerJson, {});
const tokens = encodeDocuments(tokenizer, texts.train);
console.log(
  `${(tokens.length / 1e6).toFixed(2)} million tokens in ${texts.train.length} addresses`,
);

const length = config.maxPositionEmbeddings;
const train = randomWindows(tokens, steps * batchSize, length, seed);
const heldOut = evenWindows(encodeDocuments(tokenizer, texts.heldOut), 64, length);

const model = createLlama({...config, seed});
const decay = cosineDecay(peakLearningRate, steps - warmupSteps, {end: peakLearningRate / 10});
const optimizer = new OwLoreOptimizer({
  project: false, // plain AdamW
  learningRate: warmup(warmupSteps, decay),
  beta2: 0.95,
  weightDecay,
  clipNorm,
});
model.compile({optimizer, loss: sparseCrossEntropy});
const monitor = new TrainingMonitor({
  steps,
  blocks: findBlocks(model),
  meter,
  optimizer,
  evaluate: () => lossOn(model, heldOut, batchSize),
  evaluateEvery: 250,
  startProgress: () => startProgress(process.stdout, {label: 'training', total: steps}),
});
const start = performance.now();
await model.fit(train.x, train.y, {
  batchSize,
  epochs: 1,
  shuffle: false, // the windows are in random order already
  verbose: 0,
  callbacks: [monitor],
});

await savePretrained(model, config, tokenizerJson);
for (const {step, loss} of monitor.heldOut)
  console.log(`step ${step}: held-out loss ${loss.toFixed(3)}`);
console.log(`${steps} steps in ${((performance.now() - start) / 60e3).toFixed(1)} minutes`);
console.log(
  await sampleText(model, tokenizer, 'The President', {tokens: 100, temperature: 0.8, seed}),
);
