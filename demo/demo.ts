/**
 * Fine-tunes a small pre-trained language model with OwLore on a text that it does not know, and shows what is gained
 * and what it costs.
 *
 *   npm run demo                                        # OwLore on the wasm backend
 *   npm run demo -- --method lisa --steps 100           # another method, fewer steps
 *   npm run demo -- --help                              # all options
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  blockInfluenceScores,
  findBlocks,
  linearDecay,
  outlierScores,
  paperMethod,
  relativeMagnitudeScores,
  samplingProbabilities,
} from '../src/index';
import {sparseCrossEntropy} from '../src/llama/index';
import {selectBackend} from '../tools/select_backend';
import {learningRates, readCommandLine, scoreTitles, settingsInUse} from './command_line';
import {encodeDocuments, evenWindows, randomWindows, type Windows} from './dataset';
import {lossOn} from './held_out_loss';
import {startProgress} from '../src/cli/progress';
import {TrainingMonitor} from '../src/cli/training_monitor';
import {startMemoryMeter, type MemoryMeter} from '../src/memory/meter';
import {needsScores, paperMethods, type MethodParts} from '../src/methods';
import {loadModel, loadTokenizer, readConfig} from './pretrained';
import {writeReport, type BlockRecord, type MemoryRecord} from '../src/cli/report/report';
import {presetScores, type PresetName} from '../src/owlore/sampling/probabilities';
import {sampleText} from './sample';
import {printResult, printScores, type DemoRun} from './tables';
import {finetuningTexts} from '../tools/texts';

const batchSize = 4; // windows in a step, each as long as the model's context
const calibrationBatches = 8; // what the scores are computed on
const heldOutWindows = 64; // what the held-out loss is computed on
const evaluateEvery = 50; // steps between two held-out losses
const fullSteps = 3; // of full fine-tuning, to measure its memory: the first allocates Adam's state
const prompt = 'The captain';
const samples = {tokens: 100, temperature: 0.8}; // the texts before and after

const config = readConfig();
const settings = readCommandLine(process.argv.slice(2), {
  blocks: config.numHiddenLayers,
  width: config.hiddenSize,
});

async function main(): Promise<void> {
  const start = performance.now();
  const {gamma, rank, tau, interval, refresh, steps, learningRate, seed} = settings;
  const method: MethodParts = paperMethods[settings.method];
  await selectBackend(settings.backend);
  const meter = startMemoryMeter();

  // 1. A model that was pre-trained on one text, and another text to fine-tune it on.
  const model = loadModel();
  const tokenizer = loadTokenizer();
  const blocks = findBlocks(model);
  const texts = finetuningTexts();
  const tokens = encodeDocuments(tokenizer, texts.train);
  const length = config.maxPositionEmbeddings;
  const train = randomWindows(tokens, steps * batchSize, length, seed);
  const heldOut = evenWindows(encodeDocuments(tokenizer, texts.heldOut), heldOutWindows, length);
  const calibration = randomWindows(tokens, calibrationBatches * batchSize, length, seed + 1);
  console.log(
    `${method.title} on the ${settings.backend} backend: a model of ${(model.countParams() / 1e6).toFixed(2)} million ` +
      `parameters learns\nMoby-Dick, ${tokens.length.toLocaleString('en')} tokens, in ${steps} steps.\n`,
  );
  const before = await sampleText(model, tokenizer, prompt, {...samples, seed});

  // 2. How much each block matters (Eq. 2 of the paper, or another score), and from that how often it will train.
  const batches = tf.split(calibration.x, calibrationBatches);
  const scoring = {
    ows: () => outlierScores(model, batches, {tau}),
    rm: () => relativeMagnitudeScores(model),
    bi: () => blockInfluenceScores(model, batches),
    uniform: () => ({scores: presetScores('uniform', blocks.length)}),
    decreasing: () => ({scores: presetScores('decreasing', blocks.length)}),
  };
  const isScored = needsScores(method.sampling);
  const what = isScored ? settings.scores : (method.sampling?.scores as PresetName | undefined);
  const scores = what && (await scoring[what]());
  const probabilities = scores && samplingProbabilities(scores, {gamma});
  const records: BlockRecord[] = blocks.map(({name}, i) => ({
    name,
    score: isScored ? scores!.scores[i]! : null,
    probability: probabilities ? probabilities.probabilities[i]! : 1,
    stepsTrained: 0,
  }));
  const scoreTitle = isScored ? scoreTitles[settings.scores] : null;
  const chosenTau = scores && 'tau' in scores ? scores.tau : null;
  if (probabilities) printScores(scoreTitle, chosenTau, records);

  // 3. Fine-tuning: the optimizer makes the low-rank updates, the callback draws the blocks of each period.
  const {optimizer, callback} = paperMethod(settings.method, model, {
    learningRate: linearDecay(learningRate, steps),
    rank,
    scale: 1, // what the rates of the low-rank methods are for
    refreshInterval: refresh,
    ...(probabilities && {probabilities, gamma, interval, seed}),
  });
  const monitor = new TrainingMonitor({
    steps,
    blocks,
    meter,
    optimizer,
    evaluate: () => lossOn(model, heldOut, batchSize),
    evaluateEvery,
    startProgress: () => startProgress(process.stdout, {label: 'training', total: steps}),
  });
  model.compile({optimizer, loss: sparseCrossEntropy});
  await model.fit(train.x, train.y, {
    batchSize,
    shuffle: false, // the windows are in random order already, and in the same one for the same seed
    verbose: 0,
    callbacks: callback ? [callback, monitor] : [monitor],
  });

  // 4. What was gained, and the memory it took, beside that of full fine-tuning.
  const after = await sampleText(model, tokenizer, prompt, {...samples, seed});
  const parameters = model.countParams();
  model.dispose();
  optimizer.dispose();
  const full = await measureFullFineTuning(train, meter);
  const run: DemoRun = {
    title: `${method.title}: from the State of the Union to Moby-Dick`,
    lead:
      `A LLaMA-style model of ${(parameters / 1e6).toFixed(2)} million parameters in ${blocks.length} blocks, pre-trained on ` +
      'the State of the Union addresses, learns the prose of Moby-Dick in TensorFlow.js on the ' +
      `${settings.backend} backend.`,
    method: method.title,
    backend: settings.backend,
    parameters,
    seconds: (performance.now() - start) / 1000,
    settings: {
      ...settingsInUse(settings),
      ...(chosenTau && {tau: tau === 'auto' ? `auto: ${chosenTau}` : tau}),
      batch: `${batchSize} × ${length} tokens`,
    },
    next: [],
    scoreTitle,
    outsideBlocks: 'all',
    blocks: records.map((record, i) => ({
      ...record,
      stepsTrained: monitor.stepsTrained(i),
    })),
    steps: monitor.steps,
    heldOut: monitor.heldOut,
    savedStep: monitor.steps.length,
    memory: {
      method: {peak: monitor.peakBytes, state: monitor.stateBytes},
      full,
    },
    samples: [{prompt, before: before.slice(prompt.length), after: after.slice(prompt.length)}],
  };
  printResult(run);
  writeReport(settings.report, run);
  console.log(`Report: ${settings.report}`);
}

/** Memory of a few steps of plain full fine-tuning, on the same batches. */
async function measureFullFineTuning({x, y}: Windows, meter: MemoryMeter): Promise<MemoryRecord> {
  const model = loadModel();
  const optimizer = tf.train.adam(learningRates.full);
  model.compile({optimizer, loss: sparseCrossEntropy});
  const count = Math.min(fullSteps * batchSize, x.shape[0]);
  const [some, labels] = [tf.slice(x, 0, count), tf.slice(y, 0, count)];
  const bytesBefore = meter.current();
  meter.reset();
  await model.fit(some, labels, {batchSize, shuffle: false, verbose: 0});
  const memory = {peak: meter.peak(), state: meter.current() - bytesBefore};
  tf.dispose([some, labels]);
  model.dispose();
  optimizer.dispose();
  return memory;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1); // the progress bar's timer would keep the process alive
});
