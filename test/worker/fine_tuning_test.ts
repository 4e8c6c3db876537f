/** The worker's program in Node; `npm run test:chromium` runs it in a page's worker. */
import * as tf from '@tensorflow/tfjs-core';
import {LayersModel} from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {IDBObjectStore} from 'fake-indexeddb';
import {browserStorage} from '../../src/files/browser_storage';
import {namesIn} from '../../src/files/handle_files';
import {generate, loadLlama, loadTokenizer, sparseCrossEntropy, textDataset} from '../../src/llama';
import {alpacaPrompt} from '../../src/llama/text/formats';
import {outOfMemory} from '../../src/kernels/wasm/full_memory';
import {paperMethod} from '../../src/methods';
import {blockScores} from '../../src/owlore/scores/score_kinds';
import {samplingProbabilities} from '../../src/owlore/sampling/probabilities';
import {linearDecay} from '../../src/owlore/optimizer/schedule';
import {FineTuning} from '../../src/worker/fine_tuning';
import type {FineTuningError} from '../../src/worker/errors';
import type {HeldOutEvent, Inspection, StepEvent} from '../../src/worker/events';
import {Inspector} from '../../src/worker/inspector';
import {Link} from '../../src/worker/link';
import {deleteRun, listRuns} from '../../src/worker/runs';
import {itAtLength} from '../support/backends';
import {useIndexedDb} from '../support/indexed_db';
import {rejection} from '../support/rejection';
import {model, options, resume, start, text, timeless, workerInNode} from './worker_in_node';

const backend = process.env.OWLORE_BACKENDS!.split(',').includes('wasm') ? 'wasm' : 'cpu';

describe(`a training in a worker, on ${backend}`, () => {
  useIndexedDb();
  before(() => tf.setBackend(backend));

  const lossesOf = (said: ReturnType<typeof start>['said']): number[] =>
    said.flatMap(({event, data}) => (event === 'step' ? [data.loss] : []));

  it('makes the steps that a program of its own would make, to the last bit', async () => {
    const {training, said} = start();
    const info = await training.ready;
    const outcome = await training.finished;
    training.dispose();

    const expected: number[] = [];
    const {model: own, config} = await loadLlama(model, {headInLoss: true});
    const tokenizer = await loadTokenizer(model);
    const common = {batchSize: 2, maxLength: 24, seed: 0, config};
    const isOut = (i: number): boolean => Math.ceil((i + 1) * 0.05) > Math.ceil(i * 0.05);
    const dataset = (): ReturnType<typeof textDataset> =>
      textDataset(new Blob([text]), tokenizer, {...common, repeat: true, select: (i) => !isOut(i)});
    const calibration = (async function* () {
      let left = 4;
      for await (const batch of dataset()) {
        yield batch;
        if (--left === 0) break;
      }
    })();
    const scores = await blockScores('outlier', own, calibration);
    const {optimizer, callback} = paperMethod('owlore', own, {
      ...{learningRate: linearDecay(5e-4, 6), rank: 8, refreshInterval: 3, scale: 1},
      ...{probabilities: samplingProbabilities(scores, {gamma: 3}), gamma: 3, interval: 2, seed: 0},
    });
    own.compile({optimizer, loss: sparseCrossEntropy});
    await own.fitDataset(dataset(), {
      ...{epochs: 1, batchesPerEpoch: 6, verbose: 0},
      callbacks: [
        callback!,
        {
          onBatchEnd: async (_: number, logs?: tf.NamedTensorMap) => {
            expected.push(logs!.loss as unknown as number);
          },
        } as never,
      ],
    });
    own.dispose();
    optimizer.dispose();

    expect(lossesOf(said)).to.deep.equal(expected);
    expect(expected.at(-1)).to.be.below(expected[0]!);
    expect(outcome).to.deep.include({step: 6, steps: 6, loss: expected[5], stopped: false});
    expect(said.map(({event, data}) => `${event} ${data.step}`)).to.deep.equal([
      ...['heldOut 0', 'sample 0', 'period 1', 'step 1', 'step 2', 'period 3', 'step 3'],
      ...[
        'heldOut 3',
        'sample 3',
        'step 4',
        'period 5',
        'step 5',
        'step 6',
        'heldOut 6',
        'sample 6',
      ],
    ]);
    expect(info).to.deep.include({run: null, steps: 6, tokensPerStep: 48, step: 0, history: []});
    // those of six steps, and a twentieth of all
    expect(info).to.include({examples: 12, heldOutExamples: 3});
    expect(info.promptStyle).to.deep.equal({by: 'text'});
    expect(info.blocks.map(({score}) => score)).to.deep.equal([...scores.scores]);
    const peak = Math.max(...said.map(({event, data}) => (event === 'step' ? data.peakBytes : 0)));
    expect(info.estimate.total).to.be.within(0.9 * peak, 1.1 * peak);
    const [{memory, blocks, learningRate}] = said.flatMap(({event, data}) =>
      event === 'step' ? [data] : [],
    ) as [StepEvent];
    expect(memory.weights).to.equal(4 * info.parameters);
    expect(blocks).to.have.length(3);
    expect(learningRate).to.equal(5e-4);
    const samples = said.filter(({event}) => event === 'sample');
    expect(samples[0]!.data).to.deep.include({prompt: 'The whale', isAnswer: false, isCut: true});
  });

  it('goes on with a run that was stopped as if it had not been', async () => {
    const whole = start();
    await whole.training.finished;
    const expected = await weightsIn(await whole.training.save('safetensors'));
    whole.training.dispose();

    const first = start({run: 'whales', saveEvery: 2});
    const checkpoints: number[] = [];
    first.training.on('checkpoint', ({step}) => checkpoints.push(step));
    first.training.on('step', ({step}) => {
      if (step === 3) void first.training.pause();
    });
    const rests = new Promise<void>((resolve) => first.training.on('paused', () => resolve()));
    // which rejects if it never comes to rest
    await Promise.race([rests, first.training.finished]);
    const [paused] = await listRuns();
    expect(paused).to.deep.include({name: 'whales', data: 'whales.txt', step: 3, steps: 6});
    expect(paused!.model).to.include('model.safetensors');
    expect(paused!.bytes).to.be.above(3e6);
    // the worker answers while it waits, and changes nothing by it
    const pieces: string[] = [];
    const onText = (piece: string): unknown => pieces.push(piece);
    const answer = await first.training.chat('The whale', {maxTokens: 5, onText: (t) => void onText(t)}); // prettier-ignore
    expect(pieces.join('')).to.equal(answer);
    let cuts = 0;
    await first.training.chat('The whale', {maxTokens: 5, onCut: () => cuts++});
    expect(cuts).to.equal(1);
    expect(await first.training.chat('The whale', {maxTokens: 5, of: 'before'})).to.not.equal('');
    first.training.resume();
    first.training.on('step', ({step}) => {
      if (step === 4) void first.training.stop();
    });
    expect(await first.training.finished).to.deep.include({step: 4, stopped: true});
    expect(checkpoints).to.deep.equal([2, 3, 4]);
    first.training.dispose();

    const second = resume('whales');
    const info = await second.training.ready;
    expect(info).to.deep.include({run: 'whales', step: 4});
    expect(timeless(info.history)).to.deep.equal(timeless(first.said));
    await second.training.finished;
    const atStop = info.history.slice(-2);
    expect(atStop.map(({event, data}) => `${event} ${data.step}`)).to.deep.equal(['heldOut 4', 'sample 4']); // prettier-ignore
    const all = [...info.history.filter((entry) => !atStop.includes(entry)), ...second.said];
    expect(timeless(all)).to.deep.equal(timeless(whole.said));
    expect(await weightsIn(await second.training.save('safetensors'))).to.deep.equal(expected);
    second.training.dispose();

    // a run that is done is opened alone
    const third = resume('whales');
    expect(await third.training.finished).to.deep.include({step: 6, stopped: false});
    expect(third.said).to.deep.equal([]);
    expect(await weightsIn(await third.training.save('safetensors'))).to.deep.equal(expected);
    const bytes = async (): Promise<number> => (await listRuns())[0]!.bytes;
    const withSaved = await bytes();
    await third.training.deleteSaved();
    const withoutSaved = await bytes();
    expect(withSaved - withoutSaved).to.be.above(3e6);
    await third.training.save('gguf');
    expect(await bytes()).to.be.above(withoutSaved + 3e6);
    third.training.dispose();

    // what was saved when it was open before is gone, as nobody has its files any more
    const fourth = resume('whales');
    await fourth.training.finished;
    expect(await bytes()).to.equal(withoutSaved);
    fourth.training.dispose();
    expect((await listRuns())[0]).to.deep.include({state: 'done', step: 6});
    await deleteRun('whales');
    expect(await listRuns()).to.deep.equal([]);
  });

  itAtLength('measures the held-out loss once where it stops, but not before a step', async () => {
    const every = start({evaluateEvery: 1, sampleEvery: 0});
    await every.training.finished;
    every.training.dispose();
    const heldOutOf = (said: typeof every.said): Array<[number, number]> =>
      said.flatMap(({event, data}) => (event === 'heldOut' ? [[data.step, data.loss]] : []));
    const losses = new Map(heldOutOf(every.said));
    for (const changes of [
      {evaluateEvery: 6, sampleEvery: 0},
      {evaluateEvery: 6},
      {evaluateEvery: 3},
    ]) {
      const {training, said} = start(changes);
      training.on('step', ({step}) => {
        if (step === 3) void training.stop();
      });
      const {step, heldOut} = await training.finished;
      training.dispose();
      expect(step).to.be.within(3, 4);
      expect(heldOut).to.equal(losses.get(step));
      const measured = new Set([0, ...(changes.evaluateEvery === 3 ? [3] : []), step]);
      expect(heldOutOf(said).map(([at]) => at)).to.deep.equal([...measured]);
    }
    // also while its folder is made
    for (const run of [null, 'early']) {
      const {training, said} = start({run});
      void training.stop();
      expect(await training.finished).to.deep.include({step: 0, heldOut: null, stopped: true});
      training.dispose();
      expect(said).to.deep.equal([]);
    }
    await deleteRun('early');
  });

  it('says how much of a held-out loss is measured where that takes long', async () => {
    const {now} = performance;
    let waited = 0;
    performance.now = () => now.call(performance) + (waited += 1000);
    try {
      const {training} = start({validationSplit: 0.1, evaluateEvery: 6, sampleEvery: 0});
      const said: Array<[number?, number?]> = [];
      training.on('status', ({phase, done, total}) => {
        if (phase === 'heldOut') said.push([done, total]);
      });
      await training.finished;
      training.dispose();
      // before the first step and after the last one
      expect(said).to.deep.equal([2, 4, 6, 2, 4, 6].map((done) => [done, 6]));
    } finally {
      performance.now = now;
    }
  });

  itAtLength('saves where it stops, then measures, and keeps that, also if it waited', async () => {
    for (const isPaused of [false, true]) {
      const {training, said} = start({run: 'stopped', evaluateEvery: 6, sampleEvery: 6});
      const order: string[] = [];
      for (const event of ['checkpoint', 'heldOut', 'sample'] as const)
        training.on(event, ({step}) => order.push(`${event} ${step}`));
      training.on('step', ({step}) => {
        if (step === 2) void (isPaused ? training.pause() : training.stop());
      });
      if (isPaused) {
        await new Promise((resolve) => training.on('paused', resolve));
        void training.stop();
      }
      const {step, heldOut} = await training.finished;
      training.dispose();
      expect(order.slice(2)).to.deep.equal([
        `checkpoint ${step}`,
        `heldOut ${step}`,
        `sample ${step}`,
      ]);
      const [summary] = await listRuns();
      expect(summary).to.deep.include({step, heldOut});
      // who only looks at it changes nothing
      const again = resume('stopped');
      again.training.on('status', () => void again.training.stop());
      const {history} = await again.training.ready;
      await again.training.finished;
      again.training.dispose();
      expect(timeless(history)).to.deep.equal(timeless(said));
      expect(again.said).to.deep.equal([]);
      expect((await listRuns())[0]!.changed).to.equal(summary!.changed);
      await deleteRun('stopped');
    }
  });

  itAtLength('keeps how it rests, also before its first step, until it goes on', async () => {
    const small = {run: 'rests', steps: 4, sampleEvery: 0, saveEvery: 0};
    const whole = start({...small, run: null});
    await whole.training.finished;
    whole.training.dispose();
    const stateOf = async (): Promise<unknown> => (await listRuns())[0]!.state;

    const first = start(small);
    await first.training.pause();
    expect(first.said.filter(({event}) => event === 'step')).to.deep.equal([]);
    first.training.dispose();
    expect((await listRuns())[0]).to.include({step: 0, state: 'paused'});

    const second = resume('rests');
    const heard = [...(await second.training.ready).history];
    const states: unknown[] = [];
    await new Promise<void>((resolve) => {
      second.training.on('paused', () => resolve());
      second.training.on('step', ({step}) => {
        if (step === 1) void stateOf().then((state) => states.push(state));
        if (step === 2) void second.training.pause();
      });
    });
    states.push(await stateOf());
    const {step} = await second.training.stop();
    states.push(await stateOf());
    expect(states).to.deep.equal(['interrupted', 'paused', 'stopped']);
    second.training.dispose();
    heard.push(...second.said);

    const third = resume('rests');
    third.training.on('step', () => third.training.checkpoint());
    await third.training.finished;
    third.training.dispose();
    expect(await stateOf()).to.equal('done');
    const all = [...heard, ...third.said];
    const steps = (said: typeof all): unknown[] =>
      timeless(said.filter(({event}) => event === 'step'));
    expect(step).to.be.within(2, 3);
    expect(steps(all)).to.deep.equal(steps(whole.said));
    await deleteRun('rests');
  });

  itAtLength('is opened without training, and nothing is written but what is saved', async () => {
    for (const ask of ['stop', 'pause'] as const) {
      const {training} = start({run: 'opened', evaluateEvery: 6, sampleEvery: 0});
      await new Promise((resolve) =>
        training.on('step', ({step}) => {
          if (step === 2) resolve(training[ask]());
        }),
      );
      training.dispose();
      const [before] = await listRuns();
      expect(before).to.include({state: ask === 'stop' ? 'stopped' : 'paused'});
      const again = resume('opened', {train: false});
      const {history} = await again.training.ready;
      const outcome = await again.training.finished;
      expect(outcome).to.include({step: before!.step, heldOut: before!.heldOut, stopped: true});
      expect(history.filter(({event}) => event === 'step')).to.have.length(before!.step);
      expect(again.said).to.deep.equal([]);
      expect(await again.training.chat('The whale', {maxTokens: 3})).to.not.equal('');
      expect((await listRuns())[0]).to.deep.equal(before);
      const files = await again.training.save('safetensors');
      expect(await files.get('README.md')!.text()).to.include(`| steps | ${before!.step} of 6 |`);
      again.training.dispose();
      await deleteRun('opened');
    }
    const wrong = resume('opened', {train: 1 as never});
    expect((await rejection(wrong.training.finished)).message).to.include('resumeInWorker: train');
  });

  it('keeps the newest checkpoint, saved when it is asked for, and otherwise seldom', async () => {
    const {training} = start({run: 'asked', sampleEvery: 0});
    const checkpoints: number[] = [];
    training.on('checkpoint', ({step}) => checkpoints.push(step));
    training.on('step', ({step}) => {
      if (step === 2) training.checkpoint();
    });
    await training.finished;
    training.dispose();
    // the message comes while the next step is made
    expect(checkpoints).to.have.length(2);
    expect(checkpoints[0]).to.be.within(2, 3);
    expect(checkpoints[1]).to.equal(6);
    const runs = await (await browserStorage()).getDirectoryHandle('runs');
    const folder = await (await runs.getDirectoryHandle('asked')).getDirectoryHandle('checkpoints');
    const names = await namesIn(folder);
    expect(names.filter((name) => name.endsWith('.json'))).to.have.length(1);
    await deleteRun('asked');
  });

  it('waits where there is no room for its last checkpoint, and ends when there is', async () => {
    const {training} = start({run: 'full', sampleEvery: 0});
    const {put} = IDBObjectStore.prototype;
    training.on('step', ({step}) => {
      if (step !== 6) return;
      IDBObjectStore.prototype.put = () => {
        throw new DOMException('no room', 'QuotaExceededError');
      };
    });
    const warned: unknown[] = [];
    training.on('warning', ({code}) => warned.push(code));
    try {
      const rests = new Promise((resolve) => training.on('paused', resolve));
      expect(await Promise.race([rests, training.finished])).to.deep.equal({step: 6});
      expect(warned).to.deep.equal(['storage-full']);
      expect(await training.chat('The whale', {maxTokens: 2})).to.be.a('string');
    } finally {
      IDBObjectStore.prototype.put = put;
    }
    training.resume();
    expect(await training.finished).to.deep.include({step: 6, stopped: false});
    training.dispose();
    expect((await listRuns())[0]).to.deep.include({name: 'full', state: 'done', step: 6});
    await deleteRun('full');
  });

  for (const end of ['is stopped', 'loses its page'])
    it(`keeps a learning rate that was set while it waited, where it ${end} then`, async () => {
      const {training} = start({run: 'rate', sampleEvery: 0, evaluateEvery: 6, saveEvery: 0});
      const checkpoints: number[] = [];
      training.on('checkpoint', ({step}) => checkpoints.push(step));
      training.on('step', ({step}) => {
        if (step === 2) void training.pause();
      });
      const {step} = await new Promise<{step: number}>((resolve) => training.on('paused', resolve));
      const changed = async (): Promise<number> => (await listRuns())[0]!.changed;
      const atRest = await changed();
      training.setLearningRate(1e-5);
      if (end === 'is stopped') await training.stop();
      else while ((await changed()) === atRest) await new Promise((resolve) => setTimeout(resolve));
      training.dispose();
      expect(checkpoints, 'no weights are written for it').to.eql([step]);

      // one that is only opened keeps its own
      const opened = resume('rate', {train: false});
      await opened.training.finished;
      opened.training.setLearningRate(1);
      await opened.training.chat('The whale', {maxTokens: 1}); // which takes its turn after that
      opened.training.dispose();
      const second = resume('rate');
      const {history} = await second.training.ready;
      await second.training.finished;
      second.training.dispose();
      const rates = history.flatMap(({event, data}) => (event === 'rate' ? [data] : []));
      expect(rates).to.eql([{step: step + 1, learningRate: 1e-5}]);
      const next = second.said.find(({event}) => event === 'step');
      expect(next!.data).to.deep.include({step: step + 1, learningRate: 1e-5});
      await deleteRun('rate');
    });

  it('keeps a learning rate that was set while it trains, where nothing is saved later', async () => {
    const {training} = start({run: 'rate', sampleEvery: 0, evaluateEvery: 6, saveEvery: 0});
    const {put} = IDBObjectStore.prototype;
    training.on('step', ({step}) => {
      if (step === 2) training.setLearningRate(1e-5);
    });
    let saved = 0;
    training.on('checkpoint', ({step}) => {
      saved = step;
      IDBObjectStore.prototype.put = () => {
        throw new Error('the storage is gone');
      };
    });
    try {
      expect((await rejection(training.finished)).message).to.include('the storage is gone');
    } finally {
      IDBObjectStore.prototype.put = put;
    }
    training.dispose();
    expect(saved).to.be.within(2, 4);

    const second = resume('rate');
    const {history} = await second.training.ready;
    await second.training.finished;
    second.training.dispose();
    const rates = history.flatMap(({event, data}) => (event === 'rate' ? [data] : []));
    expect(rates).to.have.length(1);
    expect(rates[0]).to.deep.include({learningRate: 1e-5});
    const next = second.said.find(({event}) => event === 'step');
    expect((next!.data as {learningRate: number}).learningRate).to.be.at.most(1e-5);
    await deleteRun('rate');
  });

  it('saves no model that has come to no numbers in the place of one before', async () => {
    const run = {run: 'diverged', steps: 20, saveEvery: 1, evaluateEvery: 1, sampleEvery: 0};
    const {training, said} = start(run);
    training.on('step', ({step}) => {
      if (step === 3) training.setLearningRate(1e30);
    });
    const {message} = await rejection(training.finished);
    expect(message).to.match(/is (NaN|infinite); no weight was changed/);
    training.dispose();
    const losses = said.flatMap(({event, data}) => (event === 'heldOut' ? [data] : [])); // prettier-ignore
    const {step} = losses.find(({loss}) => !Number.isFinite(loss))!;
    expect((await listRuns()).find(({name}) => name === 'diverged')).to.include({step: step - 1});
    await deleteRun('diverged');
  });

  it('goes on by the schedule from a learning rate that was set, also after a checkpoint', async () => {
    const {training, said} = start({run: 'rate', sampleEvery: 0});
    training.on('step', ({step}) => {
      if (step === 2) training.setLearningRate(1e-5);
      if (step === 4) void training.stop();
    });
    await training.finished;
    training.dispose();
    const second = resume('rate');
    await second.training.finished;
    second.training.setLearningRate(1); // nothing is left to do with it
    await second.training.save('safetensors');
    second.training.dispose();
    const all = [...said, ...second.said];
    const rates = all.flatMap(({event, data}) => (event === 'step' ? [data.learningRate] : []));
    const changes = all.flatMap(({event, data}) => (event === 'rate' ? [data] : []));
    expect(changes.map(({learningRate}) => learningRate)).to.deep.equal([1e-5]);
    const from = changes[0]!.step;
    expect(from).to.be.within(3, 4);
    rates.forEach((rate, i) => {
      const expected = i + 1 < from ? (5e-4 * (6 - i)) / 6 : (1e-5 * (6 - i)) / (7 - from);
      expect(rate).to.be.closeTo(expected, 1e-12);
    });
    await deleteRun('rate');
    expect(() => training.setLearningRate(-1)).to.throw(
      'a learning rate must be a number >= 0; got -1',
    );
  });

  if (backend === 'wasm')
    it('does not load the model as it was where there is no room for it', async () => {
      const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
      const small = {value: {deviceMemory: 0.008}, configurable: true};
      Object.defineProperty(globalThis, 'navigator', small);
      const {training} = start({steps: 1, sampleEvery: 0});
      try {
        await training.finished;
        const error = await rejection(training.chat('The whale', {of: 'before', maxTokens: 3}));
        expect(error).to.include({code: 'no-memory'});
        expect(error.message).to.match(/takes 3 MB more, and \d MB are free of the 8 MB/);
        expect(await training.chat('The whale', {maxTokens: 3})).not.to.equal('');
      } finally {
        training.dispose();
        Reflect.deleteProperty(globalThis, 'navigator');
        if (before) Object.defineProperty(globalThis, 'navigator', before);
      }
    });

  itAtLength(
    'keeps a run whose memory ends in the middle, and goes on with it as if it had not',
    async () => {
      const small = {steps: 4, evaluateEvery: 4, sampleEvery: 0, saveEvery: 2};
      const whole = start(small);
      await whole.training.finished;
      whole.training.dispose();
      const {prototype} = LayersModel;
      const {trainOnBatch} = prototype;
      for (const full of [
        outOfMemory(2 ** 20),
        new WebAssembly.RuntimeError('memory access out of bounds'),
      ]) {
        let calls = 0;
        prototype.trainOnBatch = async function (...args) {
          if (++calls === 4) throw full;
          return trainOnBatch.apply(this, args);
        };
        try {
          const {training} = start({...small, run: 'full'});
          const error = (await rejection(training.finished)) as FineTuningError;
          expect(error.code, full.message).to.equal('no-memory');
          training.dispose();
        } finally {
          prototype.trainOnBatch = trainOnBatch;
        }
        expect((await listRuns())[0]).to.include({name: 'full', step: 2, steps: 4});
        const again = resume('full');
        const {step, history} = await again.training.ready;
        expect(step).to.equal(2);
        await again.training.finished;
        again.training.dispose();
        expect(timeless([...history, ...again.said])).to.deep.equal(timeless(whole.said));
        await deleteRun('full');
      }
    },
  );

  itAtLength('asks in the form of examples, before and after, also if opened again', async () => {
    const [question, answer] = ['What is your name?', 'Call me Ishmael.'];
    const others = ['Who is white?', 'The whale.'];
    const examples = [[question, answer], others].map(([instruction, output]) => ({
      instruction,
      output,
    }));
    const lines = examples.map((example) => `${JSON.stringify(example)}\n`).join('');
    const ending = new Blob([JSON.stringify({eos_token: '<|endoftext|>'})]);
    const own = {...model, 'tokenizer_config.json': ending};
    const {training, said} = start({
      model: own,
      ...{data: {'alpaca.jsonl': lines.repeat(20)}, run: 'asked', prompts: [question]},
      ...{method: 'full', learningRate: 2e-3, steps: 40, batchSize: 2, maxLength: 96},
      ...{evaluateEvery: 40, sampleEvery: 40},
    });
    const {promptStyle} = await training.ready;
    expect(promptStyle).to.deep.equal({by: 'examples', form: alpacaPrompt('…')});
    await training.finished;
    const ask = (of: 'before' | 'after'): Promise<string> =>
      training.chat(question, {of, maxTokens: 12});
    // which ends where the answers of the examples end
    expect(await ask('after')).to.equal(answer);
    const onCut = (): never => {
      throw new Error('an answer that has come to its end is not cut');
    };
    expect(await training.chat(question, {maxTokens: 12, onCut})).to.equal(answer);
    const samples = said.flatMap(({event, data}) => (event === 'sample' ? [data] : []));
    expect(samples.map(({prompt}) => prompt)).to.deep.equal([question, question]);
    expect(samples.at(-1)).to.deep.include({text: answer, isAnswer: true, isCut: false});

    const {model: before} = await loadLlama(own);
    const tokenizer = await loadTokenizer(own);
    const ids = tokenizer.encode(alpacaPrompt(question));
    const stop = [tokenizer.eosTokenId!];
    const expected = await generate(before, ids, {maxNewTokens: 12, stop});
    before.dispose();
    expect(await ask('before')).to.equal(tokenizer.decode(expected.ids, {skipSpecialTokens: true}));
    training.dispose();

    const again = resume('asked');
    expect((await again.training.ready).promptStyle).to.deep.equal(promptStyle);
    await again.training.finished;
    expect(await again.training.chat(question, {maxTokens: 12})).to.equal(answer);
    again.training.dispose();
    await deleteRun('asked');
  });

  it('saves an adapter, and a GGUF file that loads again', async () => {
    const {training} = start({method: 'lora', rank: 4, steps: 2, sampleEvery: 0});
    await training.finished;
    const adapter = await training.save('adapter');
    expect([...adapter.keys()].sort()).to.deep.equal(['README.md', 'adapter_config.json', 'adapter_model.safetensors']); // prettier-ignore
    expect(await adapter.get('README.md')!.text())
      .to.include('library_name: "peft"')
      .and.include('Trained with tfjs-owlore. Method: LoRA.')
      .and.include('| rank | 4 |')
      .and.not.include('base_model'); // the files were given, and nobody else has them by a name
    const gguf = await training.save('gguf');
    const error = await rejection(training.save(undefined as never));
    expect(error).to.include({code: 'bad-option'});
    expect(error.message).to.equal(
      "save: form must be one of 'safetensors', 'gguf', 'adapter'; got undefined",
    );
    training.dispose();
    const {model: again} = await loadLlama(gguf);
    again.dispose();
  });

  it('saves a folder with a card: base, license, method, settings and losses, also once it is opened again', async () => {
    const base =
      '---\nlicense: apache-2.0\nbase_model: "owner/small"\n---\n<!-- Written by tfjs-owlore, which replaces this file at the next save; if you change it, remove this line. -->';
    const own = {...model, 'README.md': new Blob([base])};
    const cardIn = async (training: FineTuning): Promise<string> => {
      const files = await training.save('safetensors');
      return files.get('README.md')!.text();
    };
    const {training, said} = start({model: own, run: 'card', method: 'lisa', sampleEvery: 0});
    training.on('step', ({step}) => {
      if (step === 4) void training.stop();
    });
    const {step} = await training.finished;
    const card = await cardIn(training);
    training.dispose();
    const again = resume('card');
    await again.training.ready;
    await again.training.stop();
    const frontOf = (text: string): string => text.split('## ', 1)[0]!;
    expect(frontOf(await cardIn(again.training))).to.equal(frontOf(card));
    again.training.dispose();
    await deleteRun('card');
    const [first, last] = [0, -1].map((i) => said.filter(({event}) => event === 'heldOut').at(i)!);
    for (const line of [
      ...['base_model: "owner/small"', 'license: "apache-2.0"', '# small, fine-tuned'],
      ...['fine-tuned with tfjs-owlore. Method: LISA.', '- whales.txt', '| gamma | 3 |'],
      ...[
        '| learningRate |',
        '| batchSize | 2 |',
        '| maxLength | 24 |',
        `| steps | ${step} of 6 |`,
      ],
      `| held-out loss after step 0 | ${(first!.data as HeldOutEvent).loss.toFixed(4)} |`,
      `| held-out loss after step ${step} | ${(last!.data as HeldOutEvent).loss.toFixed(4)} |`,
    ])
      expect(card).to.include(line);
    // which have no effect with this method
    expect(card).not.to.match(/rank|refreshInterval|scores/);

    const unknown = start({steps: 1, sampleEvery: 0});
    await unknown.training.finished;
    const plain = await cardIn(unknown.training);
    unknown.training.dispose();
    expect(plain).to.include('Trained with tfjs-owlore. Method: OwLore.');
    expect(plain).not.to.match(/license|base_model/);
  });

  it('rejects what is wrong, with a code and a way out', async () => {
    const failure = async (changes: object): Promise<FineTuningError> => {
      const {training} = start(changes);
      const error = (await rejection(training.finished)) as FineTuningError;
      expect(await rejection(training.ready)).to.equal(error);
      training.dispose();
      return error;
    };
    for (const [changes, code, message] of [
      [{gama: 3}, 'bad-option', "unknown option 'gama'; did you mean 'gamma'?"],
      [{gamma: 0}, 'bad-option', 'fineTuneInWorker: gamma must be a number > 0; got 0'],
      [{method: 'sgd'}, 'bad-option', "method must be one of 'owlore'"],
      [{epochs: 2}, 'bad-option', 'steps stand in the place of epochs'],
      [{warmup: 6}, 'bad-option', 'warmup must be below 6'],
      [{run: '../x'}, 'bad-option', 'run must be the name of a folder'],
      [{model: 'gpt2'}, 'bad-option', "model must be 'owner/name' of the Hugging Face Hub"],
      [{model: 'not a name!!'}, 'bad-option', "a folder; got 'not a name!!'"],
      [{model: './small/'}, 'bad-option', "give new URL('./small/', location.href).href"],
      [{model: null}, 'bad-option', 'got null'],
      [{data: {}}, 'bad-option', 'data must be files by name'],
      [
        {data: {'a.csv': 'a,b\n1,2', 'b.csv': 'a,b\n1,2'}},
        'wrong-file',
        'several files of data must all be jsonl',
      ],
      [{data: {'x.jsonl': ''}}, 'wrong-file', 'is empty'],
      [{data: {'x.jsonl': '{"text": '}}, 'wrong-file', 'in line 1: it is not JSON'],
      [{model: {'config.json': new Blob(['{}'])}}, 'wrong-file', 'model_type'],
      [
        {model: {...model, 'model.safetensors': new Blob(['no'])}},
        'wrong-file',
        'model.safetensors',
      ],
      [
        {dataset: {formats: 1}},
        'bad-option',
        "fineTuneInWorker: dataset: unknown option 'formats'",
      ],
    ] as const) {
      const error = await failure(changes);
      expect(error.message).to.include(message);
      expect(error.code, error.message).to.equal(code);
      expect(error.stack).to.include('src/');
    }
    const {training} = start({run: 'twice', steps: 1, sampleEvery: 0});
    await training.finished;
    training.dispose();
    expect(await failure({run: 'twice'})).to.include({code: 'bad-option'});
    await deleteRun('twice');
    const none = resume('none');
    expect((await rejection(none.training.finished)).message).to.include("there is no run 'none'");
  });

  it('inspects no training whose signal is aborted, before or while it does', async () => {
    const inspector = new Inspector();
    const inspect = (signal?: AbortSignal): Promise<Inspection> =>
      inspector.inspect({...options, worker: () => workerInNode() as Worker}, signal);
    const before = AbortSignal.abort();
    expect((await rejection(inspect(before))).message).to.include('ended by');
    const abort = new AbortController();
    const asked = inspect(abort.signal);
    abort.abort();
    expect((await rejection(asked)).message).to.include('ended by');
    expect((await inspect(new AbortController().signal)).data.examples).to.equal(60);
  });

  it('inspects a training, and a later question takes the place of an earlier one', async () => {
    const link = new Link(workerInNode(), () => undefined);
    const abort = new AbortController();
    const earlier = link.call('inspect', [options], {signal: abort.signal});
    abort.abort();
    const later = link.call('inspect', [{...options, method: 'full'}]);
    expect((await rejection(earlier)).message).to.include(
      'ended by a later call, or by its signal',
    );
    const found: Inspection = await later;
    expect(found.config).to.deep.include({parameters: 1714304, blocks: 8, architecture: 'llama'});
    expect(found.data.examples).to.equal(60);
    expect(found.data.preview).to.have.length(3);
    expect(found.data.preview[0]!.map(({text}) => text).join('')).to.include('whale number 0');
    expect(found.nearest).to.equal(null);
    const owlore = await link.call('inspect', [options]);
    expect(owlore.estimate.total).to.be.below(found.estimate.total);
    expect(owlore.plainBytes).to.equal(found.plainBytes);

    const line = text.replaceAll('\n', ' ');
    const long = {...options, data: {'long.txt': `${line}\n${line}`}};
    const {data: cut} = await link.call('inspect', [long]);
    expect(cut.problems).to.deep.equal([
      '2 longer than maxLength 24: the rest is cut and not learned; with the option `packing` all is',
    ]);
    const {data: packed} = await link.call('inspect', [{...long, dataset: {packing: true}}]);
    expect(packed.problems).to.deep.equal([]);
    const {length} = (await loadTokenizer(model)).encode(line);
    expect(packed.tokens).to.be.within(2 * length, 2 * length + 2);
    expect(packed.tokens).to.be.above(cut.tokens);

    // the first is held out
    const {data: only} = await link.call('inspect', [{...options, data: {'only.txt': 'Hello'}}]);
    expect(only).to.deep.include({
      usable: 0,
      tokens: 0,
      problems: ['1 held out, and no other; give more'],
    });
    link.close();
  });

  it('says in an inspection how much of a long text is read', async () => {
    const link = new Link(workerInNode(), () => undefined);
    const data = {'long.txt': 'The whale swam.\n\n'.repeat(2 ** 16)};
    const told: object[] = [];
    await link.call('inspect', [{...options, data}], {onProgress: (of) => told.push(of)});
    const total = data['long.txt'].length;
    expect(told).to.deep.equal([{done: 2 ** 20, total}]);
    link.close();
  });

  it('refuses in an inspection files of a model whose headers are wrong', async () => {
    const link = new Link(workerInNode(), () => undefined);
    const name = 'model.safetensors';
    const weights = await new Blob([model[name]!]).bytes();
    const cut = {...model, [name]: new Blob([weights.subarray(0, -4)])};
    const error = await rejection(link.call('inspect', [{...options, model: cut}]));
    expect(error).to.include({code: 'wrong-file'});
    expect(error.message).to.include(name);
    link.close();
  });

  it('says in an inspection that nothing can be learnt, and why', async () => {
    const link = new Link(workerInNode(), () => undefined);
    const inspect = async (
      name: string,
      content: string,
      dataset = {},
    ): Promise<Inspection['data']> => {
      const call = link.call('inspect', [{...options, data: {[name]: content}, dataset}]);
      const {data}: Inspection = await call;
      return data;
    };
    const pair = JSON.stringify({prompt: 'Who are you, my friend? '.repeat(9), answer: 'me'});
    const short = await inspect('a.jsonl', `${pair}\n`.repeat(3));
    expect(short).to.deep.include({examples: 3, usable: 0, tokens: 0});
    expect(short.problems).to.deep.equal([
      '3 dropped: no room for the answer in maxLength 24, which the prompt fills',
    ]);
    for (const dataset of [{packing: true}, {learnPrompts: true}])
      expect((await inspect('a.jsonl', `${pair}\n`.repeat(3), dataset)).tokens).to.be.above(0);
    const broken = await inspect('a.jsonl', '{"text": "Call me Ishmael."}\n{"text": \n'.repeat(3));
    expect(broken).to.deep.include({examples: 6, usable: 3});
    for (const [name, content, problem] of [
      ['empty.txt', '', /^empty\.txt is empty/],
      ['a.jsonl', '[{"text": "a"}', /^a\.jsonl.* within the array/],
      ['a.jsonl', '{"ask": "a"}\n', /^1 dropped, in line 1: an example needs 'text'/],
    ] as const) {
      const {tokens, problems, preview} = await inspect(name, content);
      expect([tokens, preview]).to.deep.equal([0, []]);
      expect(problems[0]).to.match(problem);
    }
    link.close();
  });

  it('rejects what is asked for once it was disposed of', async () => {
    // in Node its program would go on beside the tests that follow
    const {training} = start({}, {selectBackend: () => new Promise(() => undefined)});
    training.dispose();
    const error = (await rejection(training.finished)) as FineTuningError;
    expect(error.code).to.equal('worker');
    expect(await rejection(training.chat('x'))).to.equal(error);
  });

  it('says that a worker did not start', async () => {
    let onError: (event: object) => void = () => undefined;
    const training = new FineTuning(
      {
        postMessage: () => undefined,
        terminate: () => undefined,
        addEventListener: ((type: string, listener: typeof onError) => {
          if (type === 'error') onError = listener;
        }) as never,
      },
      'start',
      [options],
    );
    onError({message: ''});
    const error = (await rejection(training.finished)) as FineTuningError;
    expect(error.code).to.equal('worker');
    expect(error.message).to.include('give the option worker');
  });
});

async function weightsIn(files: ReadonlyMap<string, Blob>): Promise<Buffer> {
  return Buffer.from(await files.get('model.safetensors')!.arrayBuffer());
}
