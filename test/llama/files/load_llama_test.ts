import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import fs from 'node:fs/promises';
import {syncBuiltinESMExports} from 'node:module';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import fc from 'fast-check';
import {parseSafetensors, serializeSafetensors} from '../../../src/files/safetensors';
import {
  createLlama,
  getLlamaWeights,
  loadLlama,
  saveLlama,
  type HostTensor,
  type ModelSource,
} from '../../../src/llama';
import {describeBackends} from '../../support/backends';
import {Comparison, type Tolerance} from '../../support/close';
import {readJson, readTensors, toTensor} from '../../support/fixtures';
import {rejection} from '../../support/rejection';
import {readCheckpoint, referenceNames} from '../checkpoints';
import {editJson, folderOf, readFiles, type FixtureName, type JsonFile} from './checkpoint_files';
import {FileServer, type ServerOptions} from '../../files/file_server';

interface Reference {
  tolerance: Record<'plain', Record<'logits', Tolerance>>;
}

const EMBEDDING = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';
const INDEX = 'model.safetensors.index.json';

async function weightsOf(source: ModelSource): Promise<Map<string, HostTensor>> {
  const {model} = await loadLlama(source);
  const weights = await getLlamaWeights(model);
  model.dispose();
  return weights;
}

function expectSame(actual: Map<string, HostTensor>, expected: Map<string, HostTensor>): void {
  expect([...actual.keys()].sort()).to.deep.equal([...expected.keys()].sort());
  for (const [name, tensor] of expected) expect(actual.get(name), name).to.deep.equal(tensor);
}

/** Changes the tensors of `model.safetensors`. */
function editTensors(
  files: Map<string, Uint8Array>,
  edit: (tensors: Map<string, HostTensor>) => void,
  file = 'model.safetensors',
): void {
  const {tensors} = parseSafetensors(files.get(file)!);
  edit(tensors);
  files.set(file, serializeSafetensors(tensors));
}

describeBackends('loadLlama', () => {
  for (const name of referenceNames) {
    for (const transformers of [4, 5] as const) {
      it(`gives ${name} the logits of the reference, by the config.json of transformers ${transformers}`, async () => {
        const before = tf.memory().numTensors;
        const {model, config} = await loadLlama(readFiles(name, transformers));
        const tensors = readTensors(`llama/${name}`);
        const reference = readJson<Reference>(`llama/${name}`);
        const ids = toTensor(tensors.get('ids')!);
        const logits = model.predict(ids) as tf.Tensor;
        const comparison = new Comparison('logits', reference.tolerance.plain.logits);
        comparison.add(name, await logits.data(), tensors.get('logits')!.values);
        comparison.finish();
        expect(config.vocabSize).to.equal(logits.shape[2]);
        tf.dispose([ids, logits]);
        model.dispose();
        expect(tf.memory().numTensors).to.equal(before);
      });
    }

    it(`sets the weights of ${name} bit by bit`, async () => {
      expectSame(await weightsOf(readFiles(name)), readCheckpoint(name));
    });
  }

  it('holds the model and one tensor, no more', async () => {
    const {numBytes} = tf.memory();
    const held: number[] = [];
    const {model} = await loadLlama(readFiles('llama3'), {
      onProgress: () => held.push(tf.memory().numBytes - numBytes),
    });
    const size = tf.memory().numBytes - numBytes;
    expect(size).to.equal(4 * model.countParams());
    expect(Math.max(...held)).to.be.at.most(size);
    model.dispose();
  });
});

describe('loadLlama', () => {
  describe('from', () => {
    const served = async (options: ServerOptions, name: FixtureName) => {
      const server = await FileServer.start(readFiles(name), options);
      try {
        return await weightsOf(server.url);
      } finally {
        await server.close();
      }
    };
    for (const name of ['llama2', 'llama3'] as const) {
      const kinds: Array<[string, () => Promise<Map<string, HostTensor>>]> = [
        ['a folder', () => weightsOf(folderOf(name))],
        ['a URL', () => served({}, name)],
        ['a URL without ranges', () => served({ranges: false}, name)],
        ['an object', () => weightsOf(Object.fromEntries(readFiles(name)))],
        [
          'Blobs',
          () =>
            weightsOf(
              new Map(
                [...readFiles(name)].map(([file, bytes]) => [
                  file,
                  new Blob([Uint8Array.from(bytes)]),
                ]),
              ),
            ),
        ],
      ];
      for (const [kind, weights] of kinds) {
        it(`${kind}, ${name}`, async () => expectSame(await weights(), readCheckpoint(name)));
      }
    }
  });

  it('tells config.json, what it means, and how far it has come', async () => {
    const steps: Array<[number, number]> = [];
    const {model, config, configJson} = await loadLlama(readFiles('qwen2', 4), {
      headInLoss: true,
      onProgress: (bytes, total) => steps.push([bytes, total]),
    });
    expect(configJson).to.include({model_type: 'qwen2', eos_token_id: 2});
    expect(config).to.deep.include({attentionBias: true, headInLoss: true, headDim: 8});
    const last = model.countParams() * 2;
    expect(steps.at(-1)).to.deep.equal([last, last]);
    expect(steps).to.have.length(model.weights.length);
    model.dispose();
    const again = createLlama(config);
    expect(again.weights.map(({shape}) => shape)).to.deep.equal(
      model.weights.map(({shape}) => shape),
    );
    again.dispose();
  });

  it('asks a server without ranges once for each file', async () => {
    const server = await FileServer.start(readFiles('llama3'), {ranges: false});
    await weightsOf(server.url);
    await server.close();
    const shards = server.requests.filter((request) => request.includes('-of-'));
    expect(shards).to.have.length(3);
    expect(new Set(shards).size).to.equal(3);
  });

  it('does not take the configuration of one model and the weights of another that is saved meanwhile', async () => {
    const {open} = fs;
    const folder = mkdtempSync(join(tmpdir(), 'owlore-load-'));
    const model = createLlama({vocabSize: 8, hiddenSize: 8, intermediateSize: 8, numHiddenLayers: 1, numAttentionHeads: 2}); // prettier-ignore
    let isBefore = true;
    fs.open = async (...args) => {
      if (isBefore && String(args[0]).endsWith('model.safetensors')) {
        isBefore = false;
        await saveLlama(model, folder);
      }
      return open(...args);
    };
    try {
      await saveLlama(model, folder);
      syncBuiltinESMExports();
      expect((await rejection(loadLlama(folder))).message).to.match(
        /^loadLlama: config\.json was written to or replaced; it was changed while it was read$|^loadLlama: config\.json had /,
      );
    } finally {
      fs.open = open;
      syncBuiltinESMExports();
      rmSync(folder, {recursive: true});
      model.dispose();
    }
  });

  it('closes all files, also where it refuses', async () => {
    const {open} = fs;
    const handles: fs.FileHandle[] = [];
    // what `import` of the module gives is brought up to date with what `require` gives
    fs.open = async (...args) => {
      const handle = await open(...args);
      handles.push(handle);
      return handle;
    };
    syncBuiltinESMExports();
    const folder = mkdtempSync(join(tmpdir(), 'owlore-load-'));
    try {
      for (const [file, bytes] of readFiles('llama3')) writeFileSync(join(folder, file), bytes);
      await weightsOf(folder);
      expect(handles).to.have.length(5);
      writeFileSync(join(folder, 'model-00002-of-00003.safetensors'), 'damaged');
      await rejection(loadLlama(folder));
      expect(handles).to.have.length.above(7);
    } finally {
      fs.open = open;
      syncBuiltinESMExports();
      rmSync(folder, {recursive: true});
    }
    expect(handles.filter(({fd}) => fd !== -1)).to.have.length(0);
  });

  it('draws no kernels', async () => {
    const {random} = Math;
    Math.random = () => {
      throw new Error('drawn');
    };
    try {
      expectSame(await weightsOf(readFiles('smollm2')), readCheckpoint('smollm2'));
    } finally {
      Math.random = random;
    }
  });

  describe('of a tied model', () => {
    const values = (weights: Map<string, HostTensor>) => [...weights.get(EMBEDDING)!.values];
    const embedding = values(readCheckpoint('smollm2'));

    it('passes over a head that is the embedding', async () => {
      const files = readFiles('smollm2');
      editTensors(files, (tensors) => tensors.set(HEAD, tensors.get(EMBEDDING)!));
      expectSame(await weightsOf(files), readCheckpoint('smollm2'));
    });

    it('takes the head where there is no embedding', async () => {
      const files = readFiles('smollm2');
      editTensors(files, (tensors) => {
        tensors.set(HEAD, tensors.get(EMBEDDING)!);
        tensors.delete(EMBEDDING);
      });
      expect(values(await weightsOf(files))).to.deep.equal(embedding);
    });

    it('unties a head that differs', async () => {
      const files = readFiles('smollm2');
      editTensors(files, (tensors) => {
        const {shape, values} = tensors.get(EMBEDDING)!;
        tensors.set(HEAD, {shape, values: values.map((x, i) => (i === 5 ? x + 1 : x))});
      });
      const {model, config} = await loadLlama(files);
      expect(config.tieWordEmbeddings).to.equal(false);
      const weights = await getLlamaWeights(model);
      expect(weights.get(HEAD)!.values[5]).to.equal(Math.fround(embedding[5]! + 1));
      expect(values(weights)).to.deep.equal(embedding);
      const saved = new Map<string, Uint8Array>();
      await saveLlama(model, saved);
      expectSame(await weightsOf(saved), weights);
      model.dispose();
    });
  });

  it('passes over rotary frequencies among the weights', async () => {
    const files = readFiles('llama2');
    editTensors(files, (tensors) =>
      tensors.set('model.layers.0.self_attn.rotary_emb.inv_freq', {
        shape: [4],
        values: new Float32Array(4),
      }),
    );
    expectSame(await weightsOf(files), readCheckpoint('llama2'));
  });

  /** Runs `body` and returns its error; fails if it has made a tensor. */
  async function refusal(source: ModelSource, options?: object): Promise<string> {
    const nextId = () => tf.tidy(() => tf.scalar(0).id);
    const before = nextId();
    const {message} = await rejection(loadLlama(source, options));
    expect(nextId() - before, 'tensors made').to.equal(1);
    return message;
  }

  const config = (edit: (json: JsonFile) => void) => (files: Map<string, Uint8Array>) =>
    editJson(files, 'config.json', edit);
  const index =
    (edit: (map: Record<string, unknown>) => void) => (files: Map<string, Uint8Array>) =>
      editJson(files, INDEX, ({weight_map}) => edit(weight_map));
  const tensors =
    (edit: (tensors: Map<string, HostTensor>) => void) => (files: Map<string, Uint8Array>) =>
      editTensors(files, edit);
  const set = (file: string, text: string) => (files: Map<string, Uint8Array>) =>
    files.set(file, Uint8Array.from(Buffer.from(text)));
  const vector = {shape: [1], values: new Float32Array(1)};
  const first = 'model-00001-of-00003.safetensors';

  const wrong: Array<[string, FixtureName, (files: Map<string, Uint8Array>) => unknown, string]> = [
    [
      'no config.json',
      'llama2',
      (files) => files.delete('config.json'),
      'there is no config.json in the files given',
    ],
    ['a config.json of no JSON', 'llama2', set('config.json', '{'), 'config.json is not JSON: '],
    ['a key twice', 'llama2', set('config.json', '{"a": 1, "a": 2}'), 'config.json has "a" twice'],
    [
      'no weights',
      'llama2',
      (files) => files.delete('model.safetensors'),
      `the files given has neither model.safetensors nor ${INDEX}; checkpoints in another format`,
    ],
    [
      'a shape that differs from config.json',
      'llama2',
      config((json) => (json['vocab_size'] = 97)),
      `model.safetensors: tensor "${EMBEDDING}" must have shape [97, 32], of vocab_size, hidden_size ` +
        'in config.json; got [96, 32]',
    ],
    [
      'a missing weight',
      'llama2',
      tensors((map) => map.delete('model.layers.1.mlp.up_proj.weight')),
      'no file has tensor "model.layers.1.mlp.up_proj.weight", a weight of the model that config.json',
    ],
    [
      'a missing head',
      'llama2',
      tensors((map) => map.delete(HEAD)),
      `no file has tensor "${HEAD}", a weight of the model that config.json describes, among 29 ` +
        'tensors; if the head is the embedding, config.json must have "tie_word_embeddings": true',
    ],
    [
      'no embedding at all',
      'smollm2',
      tensors((map) => map.delete(EMBEDDING)),
      `no file has tensor "${EMBEDDING}"`,
    ],
    [
      'an unknown weight',
      'llama2',
      tensors((map) => map.set('extra.weight', vector)),
      'model.safetensors: tensor "extra.weight" is no weight of the model that config.json describes',
    ],
    [
      'a weight of a layer too many',
      'llama2',
      config((json) => (json['num_hidden_layers'] = 2)),
      'is no weight of the model',
    ],
    [
      'more layers than anyone has',
      'llama2',
      config((json) => (json['num_hidden_layers'] = 2 ** 52)),
      'num_hidden_layers must be an integer >= 1 and <= 256; got 4503599627370496',
    ],
    [
      'a bias that is missing',
      'qwen2',
      tensors((map) => map.delete('model.layers.2.self_attn.k_proj.bias')),
      'no file has tensor "model.layers.2.self_attn.k_proj.bias"',
    ],
    [
      'a damaged file',
      'llama2',
      (files) => files.set('model.safetensors', files.get('model.safetensors')!.subarray(0, 9999)),
      'model.safetensors: the tensors need ',
    ],
    [
      'a damaged shard',
      'llama3',
      (files) => files.set(first, files.get(first)!.subarray(0, 7)),
      `${first}: the file has 7 bytes, less than a header; get the file once more`,
    ],
    [
      'a missing shard',
      'llama3',
      (files) => files.delete(first),
      `${INDEX} names the file "${first}", which is not in the files given`,
    ],
    ['an index that is no object', 'llama3', set(INDEX, '[]'), `${INDEX} is not a JSON object`],
    [
      'an index without files',
      'llama3',
      set(INDEX, '{"weight_map": {}}'),
      `${INDEX} must have a weight_map from tensors to files; got {}`,
    ],
    [
      'an index that names no file',
      'llama3',
      index((map) => (map[EMBEDDING] = 3)),
      `${INDEX} must name a .safetensors file for tensor "${EMBEDDING}"; got 3`,
    ],
    [
      'an index with a file of another kind',
      'llama3',
      index((map) => (map[EMBEDDING] = 'config.json')),
      `${INDEX} must name a .safetensors file for tensor "${EMBEDDING}"; got "config.json"`,
    ],
    ...['../x.safetensors', '/x.safetensors', 'C:\\x.safetensors', '..\\x.safetensors'].map(
      (path): (typeof wrong)[number] => [
        `an index with the path ${path}`,
        'llama3',
        index((map) => (map[EMBEDDING] = path)),
        `a file must be named by a path that stays in its folder, as 'model.safetensors' or ` +
          `'shards/1.safetensors'; got ${JSON.stringify(path)}`,
      ],
    ),
    [
      'an index with a tensor that is nowhere',
      'llama3',
      index((map) => (map['x'] = first)),
      `${INDEX} has tensor "x" in "${first}", but it is not there`,
    ],
    [
      'an index without a tensor that is there',
      'llama3',
      index((map) => Reflect.deleteProperty(map, EMBEDDING)),
      `${INDEX} has tensor "${EMBEDDING}" in no file, but it is in "${first}"`,
    ],
    [
      'a tensor in another shard',
      'llama3',
      index((map) => (map[EMBEDDING] = 'model-00002-of-00003.safetensors')),
      `${INDEX} has tensor "${EMBEDDING}" in "model-00002-of-00003.safetensors", but it is in "${first}"`,
    ],
    [
      'a tensor in two shards',
      'llama3',
      (files) =>
        editTensors(
          files,
          (map) => map.set('model.norm.weight', {shape: [32], values: new Float32Array(32)}),
          first,
        ),
      `${INDEX} has tensor "model.norm.weight" in "model-00003-of-00003.safetensors", but it is in`,
    ],
  ];
  for (const [what, name, damage, message] of wrong) {
    it(`refuses ${what}, before it makes a tensor`, async () => {
      const files = readFiles(name);
      damage(files);
      const refused = await refusal(files);
      expect(refused).to.match(/^loadLlama: /);
      expect(refused).to.include(message);
    });
  }

  it('refuses options that do not exist', async () => {
    expect(await refusal(readFiles('llama2'), {headinloss: true})).to.equal(
      "loadLlama: unknown option 'headinloss'; did you mean 'headInLoss'? " +
        'Known options: headInLoss, frozenDtype, request, onDownload, onOpened, onProgress, kernels',
    );
    expect(await refusal(readFiles('llama2'), {headInLoss: 1})).to.equal(
      'loadLlama: headInLoss must be true or false; got 1',
    );
  });

  it('frees what it has read where a server breaks off for good', async () => {
    const files = readFiles('llama2');
    const server = await FileServer.start(files);
    const before = tf.memory().numTensors;
    for (const frozenDtype of ['F32', 'BF16'] as const) {
      server.options = {};
      const onProgress = (): void => void (server.options = {status: 503});
      const error = await rejection(loadLlama(server.url, {frozenDtype, onProgress}));
      expect(error.message).to.match(/^loadLlama: GET .*model.safetensors answered 503/);
      expect(tf.memory().numTensors, frozenDtype).to.equal(before);
    }
    await server.close();
  });

  it('loads or refuses, and leaks nothing, whatever is in the files', async function () {
    this.timeout(60_000);
    const keys = ['vocab_size', 'num_hidden_layers', 'head_dim', 'rope_parameters', 'model_type'];
    const edit = fc.record({
      file: fc.constantFrom('config.json', INDEX),
      key: fc.oneof(fc.constantFrom(...keys, EMBEDDING), fc.string()),
      value: fc.jsonValue(),
    });
    const names = [...readFiles('llama3').keys()];
    const damage = fc.record({
      file: fc.constantFrom(...names),
      /** Headers are more interesting than values. */
      at: fc.oneof(fc.nat(20), fc.nat(2000), fc.nat()),
      to: fc.option(fc.nat(255)),
    });
    const change = fc.tuple(fc.array(edit, {maxLength: 2}), fc.array(damage, {maxLength: 2}));
    await fc.assert(
      fc.asyncProperty(change, async ([edits, damages]) => {
        const files = readFiles('llama3');
        for (const {file, key, value} of edits) {
          editJson(files, file, (json) => {
            const object = file === INDEX ? json.weight_map : json;
            object[key] = value;
          });
        }
        for (const {file, at, to} of damages) {
          const bytes = files.get(file)!;
          if (to === null) files.set(file, bytes.subarray(0, at % bytes.length));
          else bytes[at % bytes.length] = to;
        }
        const before = tf.memory().numTensors;
        let model: tfl.LayersModel | undefined;
        try {
          ({model} = await loadLlama(files));
        } catch (error) {
          expect((error as Error).message).to.match(/^loadLlama: /);
        }
        model?.dispose();
        expect(tf.memory().numTensors).to.equal(before);
      }),
      {numRuns: 300},
    );
  });
});
