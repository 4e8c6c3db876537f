import {mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {hubSource} from '../../../src/llama/hub/hub_source';
import {
  getLlamaWeights,
  loadLlama,
  loadTokenizer,
  textDataset,
  type HostTensor,
  type LoadLlamaOptions,
  type ModelSource,
} from '../../../src/llama';
import {openNamedSource, provideHub} from '../../../src/llama/files/named_source';
import {HubEnvironment} from '../hub/hub_environment';
import {HubServer} from '../hub/hub_server';
import {rejection} from '../../support/rejection';
import {tokenizerFiles} from '../text/tokenizers';
import {folderOf, readFiles} from './checkpoint_files';

const ID = 'owner/tiny';

async function weightsOf(source: ModelSource): Promise<Map<string, HostTensor>> {
  const {model} = await loadLlama(source);
  const weights = await getLlamaWeights(model);
  model.dispose();
  return weights;
}

describe('a model by its name on the Hub', () => {
  let environment: HubEnvironment;
  let hub: HubServer;
  before(() => provideHub(hubSource));
  beforeEach(async () => {
    environment = new HubEnvironment();
    hub = await HubServer.start(ID);
    process.env['HF_ENDPOINT'] = hub.endpoint;
  });
  afterEach(async () => {
    await hub.close();
    environment.end();
  });

  it('is loaded as from its folder, with its tokenizer; only what is needed comes', async () => {
    const files = readFiles('llama3');
    const others = ['pytorch_model.bin', 'onnx/model.onnx', '.gitattributes'];
    for (const name of others) files.set(name, new Uint8Array(10));
    const commit = hub.push('v1', new Map([...files, ...tokenizerFiles('bytelevel')]));
    const name = `${ID}@v1`;
    const seen = new Set<string>();
    const onDownload: LoadLlamaOptions['onDownload'] = (file) => seen.add(file);
    const {model, hubName} = await loadLlama(name, {onDownload});
    expect(await getLlamaWeights(model)).to.deep.equal(await weightsOf(folderOf('llama3')));
    model.dispose();
    expect(hubName).to.equal(`${ID}@${commit}`);
    const needed = [...files.keys()].filter((file) => !others.includes(file));
    expect([...seen].sort()).to.deep.equal(
      [...needed, 'tokenizer.json', 'tokenizer_config.json'].sort(),
    );

    seen.clear();
    const tokenizer = await loadTokenizer(name, {onDownload});
    const expected = await loadTokenizer(tokenizerFiles('bytelevel'));
    expect(tokenizer.encode('the cat')).to.deep.equal(expected.encode('the cat'));
    expect([...seen]).to.deep.equal([]);
    const bySnapshot = await loadLlama(environment.model(ID, 'snapshots', commit));
    bySnapshot.model.dispose();
    expect(bySnapshot.hubName).to.equal(`${ID}@${commit}`);
  });

  it('is a folder where there is one of that name', async () => {
    // of this repository, where tests run
    expect((await rejection(loadLlama('test/fixtures'))).message).to.equal(
      'loadLlama: there is no config.json in test/fixtures',
    );
    expect(hub.requests).to.deep.equal([]);
  });

  it('says what a model lacks that is there in another format only', async () => {
    const files = readFiles('smollm2');
    files.delete('model.safetensors');
    hub.push('main', files);
    expect((await rejection(loadLlama(ID))).message).to.equal(
      `loadLlama: ${ID} has neither model.safetensors nor model.safetensors.index.json; ` +
        'checkpoints in another format have to be saved as safetensors first',
    );
  });

  it('stays what it is in a page, which may also be given the URL', async () => {
    provideHub(null);
    try {
      const {name} = await openNamedSource('test', `${ID}@refs/pr/1`, {});
      expect(name).to.equal(`${ID}@refs/pr/1`);
      const url = `${hub.endpoint}/${ID}/resolve/main`;
      hub.push('main', readFiles('smollm2'));
      const {model, hubName} = await loadLlama(url);
      model.dispose();
      expect(hubName).to.equal(`${ID}@main`);
    } finally {
      provideHub(hubSource);
    }
  });
});

describe('what is no name and no URL, in a page', () => {
  const {process} = globalThis;
  before(() => {
    provideHub(null);
    globalThis.process = Object.create(process, {versions: {value: {}}}) as NodeJS.Process;
  });
  after(() => {
    globalThis.process = process;
    provideHub(hubSource);
  });

  const ways =
    'would be a path, and a page has none; give an https:// address, files by name or the handle of a folder, ' +
    "or for a model its name on the Hugging Face Hub, as 'owner/name'";

  for (const text of ['gpt2', './models/small', 'demo.gguf'])
    it(`is no path: '${text}'`, async () => {
      expect((await rejection(loadLlama(text))).message).to.equal(`loadLlama: '${text}' ${ways}`);
      expect((await rejection(loadTokenizer(text))).message).to.equal(`loadTokenizer: '${text}' ${ways}`); // prettier-ignore
    });

  it('is no path of examples', async () => {
    const tokenizer = await loadTokenizer(tokenizerFiles('bytelevel'));
    const batches = await textDataset('train.jsonl', tokenizer).iterator();
    expect((await rejection(batches.next())).message).to.include(`'train.jsonl' ${ways}`);
  });
});

describe('a model by a file of its weights', () => {
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-file-'))));
  afterEach(() => rmSync(folder, {recursive: true}));

  const write = (files: ReadonlyMap<string, Uint8Array>): void => {
    for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
  };

  it('is the model of the folder, with the weights of that file', async () => {
    write(readFiles('smollm2'));
    const weights = await weightsOf(folder);
    expect(await weightsOf(join(folder, 'model.safetensors'))).to.deep.equal(weights);
    renameSync(join(folder, 'model.safetensors'), join(folder, 'best.safetensors'));
    writeFileSync(join(folder, 'model.safetensors'), 'another');
    expect(await weightsOf(join(folder, 'best.safetensors'))).to.deep.equal(weights);
    const none = join(folder, 'none.safetensors');
    expect((await rejection(loadLlama(none))).message).to.equal(
      `loadLlama: there is no folder '${none}'`,
    );
  });

  it('is all of a model in several files', async () => {
    write(readFiles('llama3'));
    const shard = join(folder, 'model-00002-of-00003.safetensors');
    expect(await weightsOf(shard)).to.deep.equal(await weightsOf(folder));
  });
});
