import {createHash} from 'node:crypto';
import {expect} from 'chai';
import {IDBObjectStore as FakeStore} from 'fake-indexeddb';
import {browserStorage} from '../../../src/files/browser_storage';
import type {DirectoryHandle} from '../../../src/files/directory_handle';
import {parseHubName} from '../../../src/files/hub_name';
import {readWhole} from '../../../src/files/source';
import {deleteKeptModel, listKeptModels} from '../../../src/llama/hub/kept_models';
import {openKept, type KeptOptions} from '../../../src/llama/hub/kept_source';
import type {HubSource} from '../../../src/llama/hub/hub_source';
import {useIndexedDb} from '../../support/indexed_db';
import {rejection} from '../../support/rejection';
import {captureInfo, expectWarning} from '../../support/warnings';
import {HubServer, type HubOptions} from './hub_server';

const ID = 'owner/some-model';
const LARGE = 'model.safetensors';
/** Longer than what comes in one piece. */
const large = Uint8Array.from({length: 300_000}, (_, i) => (i * 7) % 251);
const small = new TextEncoder().encode('{"model_type": "llama"}\n');
const files = new Map([
  ['config.json', small],
  [LARGE, large],
  ['part/a file', small],
  ['pytorch_model.bin', large],
]);
const sha256 = createHash('sha256').update(large).digest('hex');

describe('models of the Hub that a browser keeps', () => {
  useIndexedDb();
  let hub: HubServer;
  let commit: string;
  beforeEach(async () => {
    const storage = await browserStorage();
    await storage.removeEntry('models', {recursive: true}).catch(() => undefined);
    await serve();
  });
  afterEach(() => hub.close());

  async function serve(options?: HubOptions): Promise<void> {
    await (hub as HubServer | undefined)?.close();
    hub = await HubServer.start(ID, options);
    commit = hub.push('main', files);
  }
  const source = (name = ID, options: KeptOptions = {}): Promise<HubSource> =>
    openKept('test', parseHubName(name)!, {endpoint: hub.endpoint, pauses: [], ...options});
  const read = async (path: string, from = source()): Promise<Uint8Array | null> =>
    readWhole('test', await from, path, 1e6);
  const refused = async (path = LARGE, from = source()): Promise<string> =>
    (await rejection(read(path, from))).message;
  /** The folder of a content. */
  async function blob(hash = sha256): Promise<DirectoryHandle> {
    let folder = await browserStorage();
    for (const name of ['models', 'owner--some-model', 'blobs', hash])
      folder = await folder.getDirectoryHandle(name);
    return folder;
  }
  async function partsOf(folder: DirectoryHandle): Promise<Record<string, number>> {
    const sizes: Record<string, number> = {};
    for await (const name of folder.keys!())
      sizes[name] = (await (await folder.getFileHandle(name)).getFile()).size;
    return sizes;
  }

  it('come once, with what is opened and no more, and are there without the Hub', async () => {
    const seen: Array<[string, number, number]> = [];
    const opened = await source(ID, {onDownload: (...each) => void seen.push(each)});
    expect(opened.name).to.equal(ID);
    for (const [path, bytes] of files) {
      if (path === 'pytorch_model.bin') continue;
      expect(await read(path, Promise.resolve(opened)), path).to.deep.equal(bytes);
    }
    expect(await opened.open('tokenizer.json')).to.equal(null);
    expect(await opened.hub()).to.deep.equal({id: ID, revision: commit});
    expect((await rejection(opened.open('../x'))).message).to.include('stays in its folder');
    const at = `GET /${ID}/resolve/${commit}`;
    expect(hub.requests).to.deep.equal([
      `GET /api/models/${ID}/revision/main`,
      `${at}/config.json`,
      `${at}/${LARGE}`,
    ]);
    expect(seen.at(-1)).to.deep.equal([LARGE, large.length, large.length]);
    expect(await listKeptModels()).to.deep.equal([
      {name: ID, revisions: ['main'], bytes: large.length + small.length},
    ]);

    hub.options = {status: 503};
    const {result, lines} = await captureInfo(() => read(LARGE));
    expect(result).to.deep.equal(large);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(
      /^test: the Hub cannot be reached \(GET .* answered 503\); 'owner\/some-model' is taken from the browser's storage, as of commit/,
    );
    const part = (await (await source()).open(LARGE))!;
    expect(await part.read(250_000, 250_010)).to.deep.equal(large.slice(250_000, 250_010));
    expect(await refused('pytorch_model.bin')).to.match(/answered 503/);
    expect(await refused(LARGE, source(`${ID}@v2`))).to.match(
      /^test: the browser keeps no 'owner\/some-model@v2', and the Hub cannot be reached/,
    );
  });

  it('are not listed before anything of them is kept', async () => {
    await serve({status: 404});
    await refused();
    expect(await listKeptModels()).to.deep.equal([]);
    await serve();
    expect(await (await source()).open('tokenizer.json')).to.equal(null);
    expect(await listKeptModels()).to.deep.equal([]);
    await read('config.json');
    expect((await listKeptModels())[0]).to.include({name: ID, bytes: small.length});
  });

  it('go on with a download that breaks off, at once and at the next visit', async () => {
    await serve({cutAfter: 130_000});
    expect(await read(LARGE, source(ID, {pauses: [0], part: 50_000}))).to.deep.equal(large);
    const ranges = hub.requests.slice(1).map((line) => line.split(' ')[2]);
    expect(ranges).to.deep.equal([undefined, 'bytes=130000-', 'bytes=260000-']);
    await deleteKeptModel(ID);

    await serve({cutAfter: 130_000});
    expect(await refused()).to.match(/130000 of 300000 bytes have come and stay/);
    expect(await partsOf(await blob())).to.deep.equal({'0': 130_000});
    expect((await listKeptModels())[0]!.bytes).to.equal(130_000);
    hub.options = {};
    expect(await read(LARGE)).to.deep.equal(large);
    expect(hub.requests.at(-1)).to.equal(`GET /${ID}/resolve/${commit}/${LARGE} bytes=130000-`);
    expect(await partsOf(await blob())).to.deep.equal({'0': 130_000, '1': 170_000, whole: 0});
  });

  it('begin again where the Hub sends all of a file, or where what came is damaged', async () => {
    await serve({cutAfter: 130_000});
    await refused();
    hub.options = {hasNoRanges: true};
    expect(await read(LARGE)).to.deep.equal(large);

    await deleteKeptModel(ID);
    hub.options = {cutAfter: 130_000};
    await refused();
    const file = await (await (await blob()).getFileHandle('0')).createWritable!();
    await file.write(new Uint8Array(1000));
    await file.close();
    hub.options = {};
    expect(await read(LARGE)).to.deep.equal(large);
  });

  it('are never another content than the Hub describes', async () => {
    await serve({isDamaged: true});
    for (const path of [LARGE, 'config.json'])
      expect(await refused(path)).to.match(/has brought another file than the Hub describes/);
    expect(await partsOf(await blob())).to.deep.equal({});
    hub.options = {};
    expect(await read(LARGE)).to.deep.equal(large);
  });

  it('are of the commit that a revision is now; what no revision has any more goes', async () => {
    expect(await read('config.json')).to.deep.equal(small);
    expect(await read(LARGE)).to.deep.equal(large);
    hub.push('refs/pr/1', new Map([['config.json', large]]));
    expect(await read('config.json', source(`${ID}@refs/pr/1`))).to.deep.equal(large);
    const next = hub.push('main', new Map([['config.json', small.slice(1)]]));
    expect(await read('config.json')).to.deep.equal(small.slice(1));
    expect(await (await source()).hub()).to.deep.equal({id: ID, revision: next});
    expect(await listKeptModels()).to.deep.equal([
      {
        ...{name: ID, revisions: ['main', 'refs/pr/1']},
        bytes: large.length + small.length - 1,
      },
    ]);
    expect(await refused(LARGE, source(`${ID}@v3`))).to.match(/has no revision 'v3' \(404\)/);
  });

  it('are all kept where several revisions come at the same time', async () => {
    hub.push('v2', new Map([['config.json', large]]));
    const both = (): Promise<unknown> =>
      Promise.all([read('config.json'), read('config.json', source(`${ID}@v2`))]);
    expect(await both()).to.deep.equal([small, large]);
    expect((await listKeptModels())[0]!.revisions).to.have.members(['main', 'v2']);
    hub.options = {status: 503};
    expect((await captureInfo(both)).result).to.deep.equal([small, large]);
  });

  it('have names that lead nowhere else, also where the Hub says so', async () => {
    const outside = ['../up', '../../runs/up', '/up', 'a/../../up', '..\\up', 'up\0', 'a//up'];
    const inside = ['%2e%2e%2fup', 'a\u202egpj.up', 'up?x=1#y', 'up'.repeat(300)];
    hub.push('main', new Map([...outside, ...inside].map((name) => [name, small])));
    const opened = await source();
    for (const name of outside) {
      const {message} = await rejection(opened.open(name));
      expect(message).to.include(`stays in its folder`).and.include(JSON.stringify(name));
    }
    for (const name of inside)
      expect(await read(name, Promise.resolve(opened))).to.deep.equal(small);
    const asked = hub.requests.filter((line) => line.includes('/resolve/'));
    const path = `/${ID}/resolve/${await opened.hub().then(({revision}) => revision)}/`;
    // the others have the same content
    expect(asked).to.deep.equal([`GET ${path}%252e%252e%252fup`]);
    const storage = await browserStorage();
    const models = await storage.getDirectoryHandle('models');
    for (const [folder, names] of [
      [storage, ['models', 'runs']],
      [models, ['owner--some-model']],
    ] as const)
      for await (const name of folder.keys!()) expect(names).to.include(name);
    expect((await rejection(deleteKeptModel('../runs'))).message).to.include(`'../runs'`);
  });

  it('are brought once by several that open them at the same time', async () => {
    const all = await Promise.all([read(LARGE), read(LARGE)]);
    expect(all).to.deep.equal([large, large]);
    expect(hub.requests.filter((line) => line.includes('/resolve/'))).to.have.length(1);
  });

  it('are read from the Hub where the browser has no room', async () => {
    const {prototype} = FakeStore;
    const {put} = prototype;
    prototype.put = function (...args) {
      if (this.name === 'pieces') throw new DOMException('full', 'QuotaExceededError');
      return put.apply(this, args);
    };
    try {
      expectWarning(/the browser has no room to keep model.safetensors of 'owner\/some-model'/);
      expect(await read(LARGE)).to.deep.equal(large);
    } finally {
      prototype.put = put;
    }
    expect(await listKeptModels()).to.deep.equal([]);
  });

  it('are read from the Hub where a page has no storage, which is asked for those alone that it has', async () => {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'indexedDB')!;
    Reflect.deleteProperty(globalThis, 'indexedDB');
    try {
      const opened = await source();
      for (const path of ['tokenizer.json', 'chat_template.jinja'])
        expect(await opened.open(path)).to.equal(null);
      expect(await read(LARGE, Promise.resolve(opened))).to.deep.equal(large);
      expect(await opened.hub()).to.deep.equal({id: ID, revision: commit});
      const asked = hub.requests.filter((line) => line.includes('/resolve/'));
      expect(asked.length).to.be.above(0);
      for (const line of asked) expect(line).to.include(`/${ID}/resolve/${commit}/${LARGE}`);
      expect(await refused('x', source('owner/other'))).to.include("'owner/other' is not a model");
      hub.options.status = 503;
      expect(await refused()).to.include('the browser keeps no');
    } finally {
      Object.defineProperty(globalThis, 'indexedDB', descriptor);
    }
  });

  it('need a token where the Hub does, which no other host gets', async () => {
    await serve({token: 'hf_x'});
    expect(await refused()).to.match(
      /for a model that is private, give a token of yours by the option request: {headers: {authorization: 'Bearer …'}}/,
    );
    const request = {headers: {authorization: 'Bearer hf_x'}};
    expect(await read(LARGE, source(ID, {request}))).to.deep.equal(large);
    expect([...hub.tokens]).to.deep.equal([undefined, 'Bearer hf_x']);
  });

  it('can be deleted, those that are there', async () => {
    await read('config.json');
    await deleteKeptModel(ID);
    expect(await listKeptModels()).to.deep.equal([]);
    for (const name of [ID, '..', 'models'])
      expect((await rejection(deleteKeptModel(name))).message).to.equal(
        `deleteKeptModel: the browser keeps no model '${name}'`,
      );
  });
});
