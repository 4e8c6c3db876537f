import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {parseSafetensors} from '../../../src/files/safetensors';
import type {ModelTarget} from '../../../src/files/sink';
import {
  createLlama,
  getLlamaWeights,
  loadLlama,
  saveLlama,
  setLlamaWeights,
  type LlamaConfig,
  type SaveLlamaOptions,
} from '../../../src/llama';
import {decode, encode} from '../../../src/files/float_type';
import {startMemoryMeter} from '../../../src/memory/meter';
import {describeBackends} from '../../support/backends';
import {rejection} from '../../support/rejection';
import {referenceNames} from '../checkpoints';
import {editJson, jsonOf, readFiles, type FixtureName} from './checkpoint_files';

const INDEX = 'model.safetensors.index.json';
/** How transformers saved the fixtures. */
const saved: Record<FixtureName, SaveLlamaOptions> = {
  llama2: {dtype: 'F32'},
  llama3: {dtype: 'F32', maxShardBytes: 60_000},
  mistral: {dtype: 'BF16'},
  qwen2: {dtype: 'F16'},
  qwen3: {dtype: 'F32'},
  gemma3: {dtype: 'F32'},
  smollm2: {dtype: 'F32'},
};
const tiny: LlamaConfig = {
  vocabSize: 12,
  hiddenSize: 8,
  intermediateSize: 10,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  seed: 1,
};

async function save(model: tfl.LayersModel, options?: SaveLlamaOptions) {
  const files = new Map<string, Uint8Array>();
  const names = await saveLlama(model, files, options);
  expect(names.sort()).to.deep.equal([...files.keys()].sort());
  return files;
}

describeBackends('saveLlama', () => {
  for (const name of referenceNames) {
    it(`writes ${name} byte by byte as transformers did`, async () => {
      const before = tf.memory().numTensors;
      const original = readFiles(name);
      const {model} = await loadLlama(original);
      const files = await save(model, saved[name]);
      expect([...files.keys()].sort()).to.deep.equal([...original.keys()].sort());
      for (const [file, bytes] of original) {
        if (file === 'config.json') continue;
        expect(Buffer.compare(files.get(file)!, bytes), file).to.equal(0);
      }
      model.dispose();
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  for (const dtype of ['F32', 'F16', 'BF16'] as const) {
    it(`writes ${dtype} that comes back as the nearest, and then unchanged`, async () => {
      const model = createLlama({...tiny, seed: 5});
      const weights = await getLlamaWeights(model);
      const files = await save(model, {dtype});
      model.dispose();
      const second = (await loadLlama(files)).model;
      for (const [name, {shape, values}] of await getLlamaWeights(second)) {
        const expected = decode(encode(weights.get(name)!.values, dtype), dtype);
        expect({shape, values}, name).to.deep.equal({
          shape: weights.get(name)!.shape,
          values: dtype === 'F32' ? weights.get(name)!.values : expected,
        });
      }
      const again = await save(second, {dtype});
      second.dispose();
      for (const [file, bytes] of files) expect(again.get(file), file).to.deep.equal(bytes);
    });
  }

  it('makes no tensors but one copy of a weight', async () => {
    const model = createLlama(tiny);
    const sizes = model.weights.map(({shape}) => 4 * tf.util.sizeFromShape(shape as number[]));
    const before = tf.memory();
    const meter = startMemoryMeter();
    await save(model);
    const peak = meter.peak();
    meter.stop();
    // tensorflow makes tensors of the places that a slice begins at and ends
    expect(peak).to.be.at.most(Math.max(...sizes) + 32);
    expect(tf.memory().numTensors).to.equal(before.numTensors);
    expect(tf.memory().numBytes).to.equal(before.numBytes);
    model.dispose();
  });
});

describe('saveLlama', () => {
  describe('of config.json', () => {
    for (const name of referenceNames) {
      for (const transformers of [4, 5] as const) {
        it(`keeps what ${name} had, in the words of transformers 4 and 5 (from ${transformers})`, async () => {
          const original = readFiles(name, transformers);
          editJson(original, 'config.json', (json) => (json['something'] = {else: [1]}));
          const {model, config} = await loadLlama(original);
          const files = await save(model, {dtype: 'BF16'});
          model.dispose();
          const [before, after] = [original, files].map((map) => jsonOf(map, 'config.json'));
          expect(after).to.include({torch_dtype: 'bfloat16', dtype: 'bfloat16'});
          const {torch_dtype: _, dtype: __, ...rest} = before!;
          for (const [key, value] of Object.entries(rest)) {
            if (key !== 'rope_scaling') expect(after![key], key).to.deep.equal(value);
          }
          const four = jsonOf(readFiles(name, 4), 'config.json');
          const five = jsonOf(readFiles(name, 5), 'config.json');
          for (const key of ['rope_theta', 'rope_scaling', 'rope_local_base_freq']) {
            expect(after![key], key).to.deep.equal(four[key]);
          }
          expect(after!['rope_parameters']).to.deep.equal(five['rope_parameters']);
          const again = await loadLlama(files);
          expect(again.config).to.deep.equal(config);
          again.model.dispose();
        });
      }
    }

    const ropeScaling = {
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 32,
    };
    const mixed = ['full_attention', 'sliding_attention'] as const;
    const made: Array<[string, Partial<LlamaConfig>]> = [
      ['llama', {}],
      ['llama', {ropeScaling, tieWordEmbeddings: true, numKeyValueHeads: 1, headDim: 6}],
      ['mistral', {slidingWindow: 5, rmsNormEps: 1e-6}],
      ['qwen2', {attentionBias: true, maxPositionEmbeddings: 64}],
      ['qwen2', {attentionBias: true, slidingWindow: 5, initializerRange: 0.5}],
      ['qwen2', {architecture: 'qwen2', slidingWindow: 5, layerTypes: mixed}],
      ['qwen3', {architecture: 'qwen3', headDim: 6}],
      ['qwen3', {architecture: 'qwen3', slidingWindow: 5, layerTypes: mixed}],
      ['gemma3_text', {architecture: 'gemma3'}],
      [
        'gemma3_text',
        {
          ...{architecture: 'gemma3', slidingWindow: 5, layerTypes: mixed, ropeTheta: 1e6},
          ...{ropeLocalBaseFreq: 1e4, queryPreAttnScalar: 16, ropeScaling, headDim: 6},
        },
      ],
      ['gemma3_text', {architecture: 'gemma3', slidingWindow: 5, tieWordEmbeddings: true}],
    ];
    for (const [type, options] of made) {
      it(`describes a ${type} that was made with ${JSON.stringify(options)}`, async () => {
        const model = createLlama({...tiny, ...options});
        const files = await save(model, {configJson: {eos_token_id: 7}});
        expect(jsonOf(files, 'config.json')).to.include({model_type: type, eos_token_id: 7});
        const loaded = await loadLlama(files);
        expect(loaded.config).to.deep.include({...tiny, seed: null, ...options});
        expect(await getLlamaWeights(loaded.model)).to.deep.equal(await getLlamaWeights(model));
        model.dispose();
        loaded.model.dispose();
      });
    }

    it('says what tfjs has saved and loaded', async () => {
      const model = createLlama({...tiny, slidingWindow: 3});
      let artifacts: tf.io.ModelArtifacts | undefined;
      await model.save(
        tf.io.withSaveHandler(async (saved) => {
          artifacts = saved;
          return {modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}};
        }),
      );
      const again = await tfl.loadLayersModel(tf.io.fromMemory(artifacts!));
      const [files, expected] = [await save(again), await save(model)];
      for (const [file, bytes] of expected) expect(files.get(file), file).to.deep.equal(bytes);
      model.dispose();
      again.dispose();
    });

    it('gives a Gemma 3 a window also where no layer has it, which transformers asks for', async () => {
      const model = createLlama({...tiny, architecture: 'gemma3'});
      expect(jsonOf(await save(model), 'config.json')).to.deep.include({
        sliding_window: 4096,
        layer_types: ['full_attention', 'full_attention'],
        sliding_window_pattern: 1,
      });
      model.dispose();
    });

    it('knows a Mistral without a window for one when tfjs has saved and loaded it', async () => {
      const model = createLlama({...tiny, architecture: 'mistral'});
      let artifacts: tf.io.ModelArtifacts | undefined;
      await model.save(
        tf.io.withSaveHandler(async (saved) => {
          artifacts = saved;
          return {modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}};
        }),
      );
      const again = await tfl.loadLayersModel(tf.io.fromMemory(artifacts!));
      expect(jsonOf(await save(again), 'config.json')).to.include({
        model_type: 'mistral',
        sliding_window: null,
      });
      model.dispose();
      again.dispose();
    });

    it('has floats where Python wants them', async () => {
      const model = createLlama({...tiny, initializerRange: 1, ropeScaling});
      const text = Buffer.from((await save(model)).get('config.json')!).toString();
      model.dispose();
      expect(text).to.match(/^ {2}"initializer_range": 1.0,$/m);
      expect(text).to.match(/^ {2}"rope_theta": 10000.0,$/m);
      expect(text).to.match(/^ {4}"low_freq_factor": 1.0,$/m);
      expect(text).to.match(/^ {2}"hidden_size": 8,$/m);
    });

    it('may not describe another model', async () => {
      const model = createLlama(tiny);
      const refused = async (configJson: object) =>
        (await rejection(saveLlama(model, new Map(), {configJson: {...configJson}}))).message;
      expect(await refused({rope_theta: 3, rope_parameters: null})).to.equal(
        'saveLlama: config.json would say ropeTheta 3 of a model that has 10000; ' +
          'leave what describes the model out of configJson',
      );
      expect(await refused({hidden_act: 'relu'})).to.match(/^saveLlama: config.json: hidden_act/);
      model.dispose();
    });
  });

  it('divides weights into files', async () => {
    const model = createLlama({...tiny, tieWordEmbeddings: true});
    const files = await save(model, {maxShardBytes: 640});
    const index = jsonOf(files, INDEX);
    const weights = await getLlamaWeights(model);
    // together they are just as large as a file may be
    const [embedding, queries] = ['embed_tokens', 'layers.0.self_attn.q_proj'];
    expect(index.weight_map[`model.${embedding}.weight`]).to.equal(
      index.weight_map[`model.${queries}.weight`],
    );
    expect(Object.keys(index.weight_map)).to.have.members([...weights.keys()]);
    expect(index['metadata']).to.deep.equal({
      total_parameters: model.countParams(),
      total_size: model.countParams() * 4,
    });
    let bytes = 0;
    for (const [file, contents] of files) {
      if (!file.endsWith('.safetensors')) continue;
      const {tensors, metadata} = parseSafetensors(contents);
      expect(metadata).to.deep.equal({format: 'pt'});
      const size = [...tensors.values()].reduce((sum, {values}) => sum + values.byteLength, 0);
      expect(size).to.be.at.most(640);
      bytes += size;
      for (const [name, tensor] of tensors) {
        expect(index.weight_map[name]).to.equal(file);
        expect(tensor).to.deep.equal(weights.get(name));
      }
    }
    expect(bytes).to.equal(model.countParams() * 4);
    model.dispose();
  });

  it('gives a file of its own to each weight that is larger than a file should be', async () => {
    const model = createLlama({...tiny, numHiddenLayers: 1});
    const files = await save(model, {maxShardBytes: 383});
    const tables = ['lm_head.weight', 'model.embed_tokens.weight'];
    const alone = [...files]
      .filter(([file]) => file.endsWith('.safetensors'))
      .map(([, bytes]) => [...parseSafetensors(bytes).tensors.keys()])
      .filter((names) => names.length === 1 && tables.includes(names[0]!));
    expect(alone.flat().sort()).to.deep.equal(tables);
    const {model: again} = await loadLlama(files);
    expect(await getLlamaWeights(again)).to.deep.equal(await getLlamaWeights(model));
    again.dispose();
    model.dispose();
  });

  it('takes the other files of a checkpoint along', async () => {
    const original = readFiles('llama2');
    const others = ['generation_config.json', 'tokenizer.json', 'chat_template.jinja'];
    // as JSON, for one of them is read
    const contentOf = (name: string): string => JSON.stringify({name});
    for (const name of others) original.set(name, Uint8Array.from(Buffer.from(contentOf(name))));
    original.set('notes.txt', new Uint8Array(3));
    const {model, files: loaded} = await loadLlama(original);
    expect([...loaded.keys()]).to.have.members(others);
    for (const name of others) original.get(name)!.fill(0);
    const files = await save(model);
    expect([...files.keys()]).to.have.members([...others, 'config.json', 'model.safetensors']);
    for (const name of others)
      expect(Buffer.from(files.get(name)!).toString()).to.equal(contentOf(name));
    model.dispose();
  });

  describe('in a folder', () => {
    let folder: string;
    beforeEach(() => {
      folder = join(mkdtempSync(join(tmpdir(), 'owlore-save-')), 'new', 'model');
    });
    afterEach(() => rmSync(join(folder, '..', '..'), {recursive: true}));
    const contents = () =>
      new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))] as const));

    it('writes what it writes into a map', async () => {
      const {model} = await loadLlama(readFiles('llama3'));
      const names = await saveLlama(model, folder, saved.llama3);
      const expected = await save(model, saved.llama3);
      model.dispose();
      expect([...contents().keys()]).to.have.members(names);
      for (const [file, bytes] of contents()) {
        expect(Buffer.compare(bytes, expected.get(file)!), file).to.equal(0);
      }
    });

    it('leaves no weights of the one before, and all that is not its own', async () => {
      const model = createLlama(tiny);
      await saveLlama(model, folder, {maxShardBytes: 800});
      writeFileSync(join(folder, 'notes.txt'), 'notes');
      await saveLlama(model, folder);
      expect(readdirSync(folder).sort()).to.deep.equal([
        'config.json',
        'model.safetensors',
        'notes.txt',
      ]);
      await saveLlama(model, folder, {maxShardBytes: 2000});
      expect(readdirSync(folder)).to.include.members([INDEX, 'notes.txt']);
      expect(readdirSync(folder)).not.to.include('model.safetensors');
      const {model: again} = await loadLlama(folder);
      expect(await getLlamaWeights(again)).to.deep.equal(await getLlamaWeights(model));
      model.dispose();
      again.dispose();
    });

    it('leaves no tokenizer of the one before, but one that was put there for a model without', async () => {
      const withFiles = async (names: string[]) => {
        const files = readFiles('llama2');
        for (const name of names) files.set(name, Buffer.from(name));
        return (await loadLlama(files)).model;
      };
      const first = await withFiles(['tokenizer.json', 'chat_template.jinja', 'added_tokens.json']);
      const second = await withFiles(['tokenizer.model', 'tokenizer_config.json']);
      const own = createLlama(tiny);
      await saveLlama(first, folder);
      writeFileSync(join(folder, 'notes.txt'), 'notes');
      await saveLlama(second, folder);
      const weights = ['config.json', 'model.safetensors', 'notes.txt'];
      const tokenizer = ['tokenizer.model', 'tokenizer_config.json'];
      const others = readdirSync(folder).filter((name) => name !== 'generation_config.json');
      expect(others.sort()).to.deep.equal([...weights, ...tokenizer]);
      writeFileSync(join(folder, 'chat_template.jinja'), 'mine');
      await saveLlama(own, folder);
      expect(readdirSync(folder)).to.include.members([...tokenizer, 'chat_template.jinja']);
      for (const model of [first, second, own]) model.dispose();
    });

    it('leaves an older one alone where it fails', async () => {
      const model = createLlama(tiny);
      await saveLlama(model, folder, {maxShardBytes: 800});
      const before = contents();
      const weights = await getLlamaWeights(model);
      weights.get('model.layers.1.mlp.up_proj.weight')!.values[7] = -65520;
      setLlamaWeights(model, weights);
      const error = await rejection(saveLlama(model, folder, {dtype: 'F16', maxShardBytes: 400}));
      expect(error.message).to.equal(
        'saveLlama: tensor "model.layers.1.mlp.up_proj.weight" has the value -65520, ' +
          "which would be infinite as F16; use dtype 'BF16' or 'F32'",
      );
      expect(contents()).to.deep.equal(before);
      model.dispose();
    });
  });

  it('keeps infinities and NaN', async () => {
    const model = createLlama(tiny);
    const weights = await getLlamaWeights(model);
    weights.get('model.norm.weight')!.values.set([Infinity, -Infinity, NaN]);
    setLlamaWeights(model, weights);
    for (const dtype of ['F32', 'F16', 'BF16'] as const) {
      const {model: again} = await loadLlama(await save(model, {dtype}));
      const {values} = (await getLlamaWeights(again)).get('model.norm.weight')!;
      expect([...values.slice(0, 4)]).to.deep.equal([Infinity, -Infinity, NaN, 1]);
      again.dispose();
    }
    model.dispose();
  });

  it('refuses what it cannot do, before it writes', async () => {
    const model = createLlama(tiny);
    const other = tfl.sequential({layers: [tfl.layers.dense({units: 1, inputShape: [1]})]});
    const target = new Map<string, Uint8Array>();
    const tied = createLlama({...tiny, tieWordEmbeddings: true});
    const upTo = (name: string, from = model) =>
      tfl.model({inputs: from.inputs, outputs: from.getLayer(name).output});
    const wrong: Array<[tfl.LayersModel, unknown, object, string]> = [
      [other, target, {}, 'the model must be one of createLlama or loadLlama, and all of it'],
      [
        upTo('model.layers.0'),
        target,
        {},
        'the model must be one of createLlama or loadLlama, and all of it',
      ],
      [
        upTo('model.norm'),
        target,
        {},
        'the model must be one of createLlama or loadLlama, and all of it',
      ],
      [upTo('model.layers.0', tied), target, {}, 'the model lacks model.norm.weight'],
      [model, target, {dtype: 'I8'}, "dtype must be one of 'F32', 'F16', 'BF16'; got 'I8'"],
      [model, target, {maxShardBytes: 0}, 'maxShardBytes must be an integer >= 1; got 0'],
      [model, target, {maxshardbytes: 1}, "unknown option 'maxshardbytes'; did you mean 'maxS"],
      [model, target, {configJson: 3}, 'configJson must be a plain object; got 3'],
      [
        model,
        'http://host/model',
        {},
        'a target is the path of a folder, a FileSystemDirectoryHandle or a Map; got ',
      ],
      [
        model,
        '',
        {},
        "a target is the path of a folder, a FileSystemDirectoryHandle or a Map; got ''",
      ],
      [
        model,
        {},
        {},
        'a target is the path of a folder, a FileSystemDirectoryHandle or a Map; got {}',
      ],
    ];
    for (const [of, to, options, message] of wrong) {
      const error = await rejection(saveLlama(of, to as ModelTarget, options));
      expect(error.message).to.include(`saveLlama: ${message}`);
    }
    const norm = tied.getLayer('model.norm').output as tfl.SymbolicTensor;
    const output = tfl.layers.dense({units: 1, name: 'extra'}).apply(norm) as tfl.SymbolicTensor;
    const larger = tfl.model({inputs: tied.inputs, outputs: output});
    expect((await rejection(saveLlama(larger, target))).message).to.equal(
      'saveLlama: the model has a weight "extra.kernel", which checkpoints of its type have not',
    );
    expect(target.size).to.equal(0);
    larger.getLayer('extra').dispose();
    model.dispose();
    other.dispose();
    tied.dispose();
  });
});
