import {createHash} from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {createServer, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {join} from 'node:path';
import {expect} from 'chai';
import {lockFolder} from '../../../src/files/folder_lock';
import {parseHubName} from '../../../src/files/hub_name';
import {MAX_JSON_BYTES} from '../../../src/files/json';
import {readWhole, type RequestOptions} from '../../../src/files/source';
import {ask} from '../../../src/llama/hub/hub_request';
import {hubSource, type DownloadOptions, type HubSource} from '../../../src/llama/hub/hub_source';
import {rejection} from '../../support/rejection';
import {HubEnvironment} from './hub_environment';
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

describe('hubSource', () => {
  let environment: HubEnvironment;
  const servers: HubServer[] = [];
  const messages: string[] = [];
  const {info} = console;

  beforeEach(() => {
    environment = new HubEnvironment();
    messages.length = 0;
    console.info = (message: string) => void messages.push(message);
  });
  afterEach(async () => {
    console.info = info;
    environment.end();
    for (const server of servers.splice(0)) await server.close();
  });

  async function serve(options?: HubOptions): Promise<{hub: HubServer; commit: string}> {
    const hub = await HubServer.start(ID, options);
    servers.push(hub);
    process.env['HF_ENDPOINT'] = `${hub.endpoint}/`;
    return {hub, commit: hub.push('main', files)};
  }

  const source = (name = ID, options: DownloadOptions = {}): HubSource =>
    hubSource('test', parseHubName(name)!, options);
  const read = (path: string, from = source()): Promise<Uint8Array | null> =>
    readWhole('test', from, path, 1e6);
  const partial = (): string => environment.model(ID, 'blobs', `${sha256}.owlore.partial`);

  /** The message for a file that cannot be had. */
  async function refused(path = LARGE, name = ID): Promise<string> {
    return (await rejection(read(path, source(name)))).message;
  }

  it("downloads what is opened, and no more, into a cache with the layout of Python's", async () => {
    const {hub, commit} = await serve();
    const opened = source();
    expect(opened.name).to.equal(ID);
    for (const [path, bytes] of files) {
      if (path === 'pytorch_model.bin') continue;
      expect(await read(path, opened), path).to.deep.equal(bytes);
    }
    expect(await opened.open('tokenizer.json')).to.equal(null);
    expect(await opened.hub()).to.deep.equal({id: ID, revision: commit});
    const at = `GET /${ID}/resolve/${commit}`;
    expect(hub.requests).to.deep.equal([
      `GET /api/models/${ID}/revision/main`,
      `${at}/config.json`,
      `${at}/${LARGE}`,
    ]);
    // one content, once, for two files
    const git = createHash('sha1').update(`blob ${small.length}\0`).update(small).digest('hex');
    expect(readdirSync(environment.model(ID, 'blobs')).sort()).to.deep.equal([sha256, git].sort());
    const snapshot = environment.model(ID, 'snapshots', commit);
    expect(readFileSync(environment.model(ID, 'refs', 'main'), 'utf8')).to.equal(commit);
    expect(readlinkSync(join(snapshot, LARGE))).to.equal(`../../blobs/${sha256}`);
    expect(readlinkSync(join(snapshot, 'part/a file'))).to.equal(`../../../blobs/${git}`);
    expect(readdirSync(join(environment.home, 'hub/.locks/models--owner--some-model'))).to.be.empty;

    const requests = hub.requests.length;
    expect(await read(LARGE)).to.deep.equal(large);
    expect(hub.requests.slice(requests)).to.deep.equal([`GET /api/models/${ID}/revision/main`]);
  });

  it('takes the revision that is named, and what is new on a branch', async () => {
    const {hub, commit} = await serve();
    const other = hub.push('refs/pr/1', new Map([['config.json', large]]));
    expect(await read('config.json', source(`${ID}@refs/pr/1`))).to.deep.equal(large);
    expect(await read('config.json', source(`${ID}@${commit}`))).to.deep.equal(small);
    expect(readFileSync(environment.model(ID, 'refs/refs/pr/1'), 'utf8')).to.equal(other);
    const next = hub.push('main', new Map([['config.json', large]]));
    expect(await read('config.json')).to.deep.equal(large);
    expect(readFileSync(environment.model(ID, 'refs/main'), 'utf8')).to.equal(next);
    expect(await source().open(LARGE)).to.equal(null);
    expect(await refused(LARGE, `${ID}@v3`)).to.equal(
      `test: the model '${ID}' has no revision 'v3' (404); ${hub.endpoint}/${ID}/tree/main lists its branches and tags`,
    );
  });

  it('goes on with a download that breaks off, at once and in another process, and says how far it is', async () => {
    const {hub, commit} = await serve({cutAfter: 130_000});
    const seen: number[] = [];
    const onDownload = (path: string, bytes: number, total: number): void => {
      expect([path, total]).to.deep.equal([LARGE, large.length]);
      seen.push(bytes);
    };
    expect(await read(LARGE, source(ID, {onDownload}))).to.deep.equal(large);
    const at = `GET /${ID}/resolve/${commit}/${LARGE}`;
    const ranges = hub.requests.slice(1).map((request) => request.replace(at, ''));
    expect(ranges.length).to.be.above(2);
    // each from where the one before broke off
    const starts = ranges.map((range) => Number(/\d+/.exec(range)?.[0] ?? 0));
    expect(seen).to.include.members(starts);
    expect([starts[0], new Set(starts).size]).to.deep.equal([0, starts.length]);
    expect([seen[0], seen.at(-1)]).to.deep.equal([0, large.length]);
    expect(seen).to.deep.equal([...seen].sort((a, b) => a - b));
  });

  for (const [what, start, ranges] of [
    ['its first part', large.slice(0, 1000), [' bytes=1000-']],
    ['more than all of it', new Uint8Array(400_000), ['']],
    // as after the machine went down; the hash tells
    ['other bytes', new Uint8Array(1000), [' bytes=1000-', '']],
    ['all of it', large, []],
  ] as const) {
    it(`goes on where an earlier process has left ${what}`, async () => {
      const {hub, commit} = await serve();
      mkdirSync(environment.model(ID, 'blobs'), {recursive: true});
      writeFileSync(partial(), start);
      expect(await read(LARGE)).to.deep.equal(large);
      const at = `GET /${ID}/resolve/${commit}/${LARGE}`;
      expect(hub.requests.slice(1)).to.deep.equal(ranges.map((range) => at + range));
      expect(existsSync(partial())).to.equal(false);
    });
  }

  it('begins again where a server has no parts', async () => {
    await serve({hasNoRanges: true});
    mkdirSync(environment.model(ID, 'blobs'), {recursive: true});
    writeFileSync(partial(), large.slice(0, 1000));
    expect(await read(LARGE)).to.deep.equal(large);
  });

  it('refuses what is not what the Hub has described', async () => {
    const {hub} = await serve({isDamaged: true});
    expect(await refused()).to.match(
      /^test: GET http.*safetensors has brought another file than the Hub describes: its sha256 is [\da-f]{64}, not [\da-f]{64}; /,
    );
    expect(await refused('config.json')).to.match(/its git-sha1 is [\da-f]{40}, not [\da-f]{40}; /);
    expect(readdirSync(environment.model(ID, 'blobs'))).to.deep.equal([]);
    hub.options = {};
    expect(await read(LARGE)).to.deep.equal(large);
  });

  it('sends the token to the Hub alone, from the environment or from where `hf auth login` leaves it', async () => {
    const {hub} = await serve({token: 'hf_secret'});
    const none = `test: '${ID}' is neither a folder here nor a model that the Hub shows`;
    expect(await refused()).to.equal(
      `${none} (401); check the name; for a model that is private, put a token of yours into the environment variable ` +
        "HF_TOKEN, or run 'hf auth login'",
    );
    process.env['HF_TOKEN'] = 'hf_other';
    expect(await refused()).to.match(/the Hub does not accept your token \(401\)/);
    process.env['HF_TOKEN'] = 'hf_secret\n';
    expect(await read(LARGE)).to.deep.equal(large);
    expect([...hub.tokens]).to.deep.equal([undefined, 'Bearer hf_other', 'Bearer hf_secret']);

    delete process.env['HF_TOKEN'];
    writeFileSync(join(environment.home, 'token'), 'hf_secret');
    expect(await read('config.json')).to.deep.equal(small);
    expect(await refused('config.json', 'owner/other')).to.equal(
      `${none.replace(ID, 'owner/other')} (404); check the name; for a model that is private, your token must be of an ` +
        'account that may see it',
    );
  });

  it('takes a token without its line breaks, and tells none that no header can have', async () => {
    const {hub} = await serve({token: 'hf_secret'});
    process.env['HF_TOKEN'] = 'hf_\nsecret';
    expect(await read('config.json')).to.deep.equal(small);
    expect([...hub.tokens]).to.deep.equal(['Bearer hf_secret']);
    for (const token of ['hf_secret\u201c', 'hf_ secret']) {
      process.env['HF_TOKEN'] = token;
      expect(() => source())
        .to.throw(/has characters that no token has; copy it anew/)
        .with.property('message')
        .that.does.not.include('secret');
    }
    delete process.env['HF_TOKEN'];
    process.env['HUGGING_FACE_HUB_TOKEN'] = 'hf_secret';
    try {
      expect(await read(LARGE)).to.deep.equal(large);
    } finally {
      delete process.env['HUGGING_FACE_HUB_TOKEN'];
    }
  });

  it('names the file of a token that cannot be read', async () => {
    const {hub} = await serve({token: 'hf_secret'});
    mkdirSync(join(environment.home, 'token'));
    for (const [variable, path, message] of [
      ['HF_TOKEN_PATH', join(environment.home, 'x'.repeat(300)), /ENAMETOOLONG.*, open '.*xxx'/],
      ['HF_TOKEN_PATH', join(environment.home, 'token'), /EISDIR/],
    ] as const) {
      process.env[variable] = path;
      expect(() => source())
        .to.throw(/^test: the token of the Hugging Face Hub cannot be read: E/)
        .with.property('message')
        .that.matches(message)
        .and.matches(/the environment variables HF_TOKEN_PATH, HF_HOME and XDG_CACHE_HOME$/);
    }
    expect(hub.tokens.size).to.equal(0);
  });

  it('says how to get at a model behind conditions', async () => {
    const {hub} = await serve({isGated: true});
    const conditions = `test: the Hub gives '${ID}' only to those who have accepted its conditions (403); accept them at ${hub.endpoint}/${ID}`;
    expect(await refused()).to.equal(
      `${conditions}, then put a token of yours into the environment variable HF_TOKEN, or run 'hf auth login'`,
    );
    process.env['HF_TOKEN'] = 'hf_x';
    expect(await refused()).to.equal(`${conditions} with the account of your token`);
  });

  it('uses the cache without a network, or where it has to, and says so once', async () => {
    const {hub, commit} = await serve();
    await read(LARGE);
    hub.options = {status: 503};
    for (let i = 0; i < 2; i++) expect(await read(LARGE)).to.deep.equal(large);
    await hub.close();
    expect(await read(LARGE)).to.deep.equal(large);
    process.env['HF_HUB_OFFLINE'] = '1';
    expect(await read(LARGE, source(`${ID}@${commit}`))).to.deep.equal(large);
    const cached = source();
    expect(cached.name).to.equal(ID);
    expect(await cached.open('config.json')).to.equal(null);
    // what is missing there need not be missing in the model
    expect(cached.name).to.equal(`${ID} (as far as it is in the cache)`);
    const taken = `'${ID}' is taken from the cache, as of commit ${commit.slice(0, 8)}`;
    expect(messages.map((message) => message.replace(/GET http\S+/, 'GET URL'))).to.deep.equal([
      `test: the Hub cannot be reached (GET URL answered 503); ${taken}`,
      `test: the Hub cannot be reached (GET URL failed: fetch failed (${messages[1]?.match(/\(([^()]*)\)\);/)?.[1]})); ${taken}`,
      `test: HF_HUB_OFFLINE is set; ${taken.replace(ID, `${ID}@${commit}`)}`,
      `test: HF_HUB_OFFLINE is set; ${taken}`,
    ]);
    const cache = join(environment.home, 'hub');
    expect(await refused(LARGE, `${ID}@v2`)).to.equal(
      `test: '${ID}@v2' is neither a folder here nor in the cache '${cache}', which has of it main; HF_HUB_OFFLINE is set`,
    );
    // as a download leaves it that has ended before its first file
    mkdirSync(join(cache, 'models--owner--broken', 'blobs'), {recursive: true});
    expect(await refused(LARGE, 'owner/other')).to.equal(
      `test: 'owner/other' is neither a folder here nor in the cache '${cache}', which has ${ID}; HF_HUB_OFFLINE is set`,
    );
    process.env['HF_HUB_CACHE'] = join(environment.home, 'none');
    expect(await refused()).to.match(/none', which has no model; HF_HUB_OFFLINE is set$/);
  });

  it('reads a cache that Python has made, with contents that models share', async () => {
    process.env['HF_HUB_OFFLINE'] = '1';
    const commit = 'a'.repeat(40);
    const snapshot = environment.model(ID, 'snapshots', commit);
    const shared = join(environment.home, 'hub/blobs/ab');
    for (const folder of [
      snapshot,
      environment.model(ID, 'refs'),
      environment.model(ID, 'blobs'),
      shared,
    ])
      mkdirSync(folder, {recursive: true});
    writeFileSync(environment.model(ID, 'refs/main'), commit);
    writeFileSync(join(shared, 'abc'), small);
    symlinkSync('../../blobs/ab/abc', environment.model(ID, 'blobs/etag'));
    symlinkSync('../../blobs/etag', join(snapshot, 'config.json'));
    symlinkSync('../../../../token', join(snapshot, 'outward'));
    writeFileSync(join(environment.home, 'token'), 'secret');
    expect(await read('config.json')).to.deep.equal(small);
    expect(await refused('outward')).to.match(
      /outward is a link to .*, which is not in the folder/,
    );
  });

  it('is downloaded once by two at a time; the second waits', async () => {
    const {hub} = await serve();
    let [begun, max] = [0, 0];
    hub.options = {
      beforeContent: async () => {
        max = Math.max(max, ++begun);
        await new Promise((resolve) => setTimeout(resolve, 50));
        begun--;
      },
    };
    const both = await Promise.all([read(LARGE), read(LARGE)]);
    expect(both).to.deep.equal([large, large]);
    expect(max).to.equal(1);
    expect(hub.requests.filter((request) => request.includes('/resolve/'))).to.have.length(1);

    const locks = join(environment.home, 'hub/.locks/models--owner--some-model');
    const lock = lockFolder('another', locks);
    setTimeout(() => lock.release(), 100);
    expect(await read('config.json')).to.deep.equal(small);
    expect(messages.at(-1)).to.match(
      /^test: waiting for another download of 'owner\/some-model': test: the folder .* is in use by process \d+ since /,
    );
  });

  it('says what to do when the disk is full, and leaves nothing open', async function () {
    if (!existsSync('/dev/full')) this.skip();
    await serve();
    mkdirSync(environment.model(ID, 'blobs'), {recursive: true});
    symlinkSync('/dev/full', partial());
    expect(await refused()).to.equal(
      `test: ${LARGE}, 0.3 MB, cannot be written to the cache '${join(environment.home, 'hub')}': ENOSPC: no space left on device, ` +
        'write; make room or let it be written to, or name the folder of another cache by the environment variable ' +
        'HF_HUB_CACHE. What has come stays, and the next download goes on with it',
    );
    expect(readdirSync(join(environment.home, 'hub/.locks/models--owner--some-model'))).to.be.empty;
  });

  it('gives up a download that brings nothing any more, or hardly anything; what has come stays', async () => {
    const {hub} = await serve({cutAfter: 70_000});
    let contents = 0;
    hub.options.beforeContent = async () => {
      if (++contents > 2) hub.options = {status: 502, cutAfter: 70_000};
    };
    const pauses = [0, 0.1];
    const nothing = await rejection(read(LARGE, source(ID, {pauses})));
    const stay = / of 300000 bytes have come and stay; the next download goes on with them$/;
    expect(nothing.message)
      .to.match(/^test: GET http\S+ answered 502\. /)
      .and.to.match(stay);
    const {size} = statSync(partial());
    expect(size).to.be.within(140_000, 210_000);
    expect(nothing.message).to.contain(`. ${size} of `);
    // a server that closes after each byte
    hub.options = {cutAfter: 1};
    const asked = hub.requests.length;
    expect((await rejection(read(LARGE, source(ID, {pauses})))).message).to.match(stay);
    // the description, and three attempts
    expect(hub.requests.length - asked).to.equal(4);
    expect(statSync(partial()).size).to.be.within(size, size + 3);
    hub.options = {};
    expect(await read(LARGE)).to.deep.equal(large);
  });

  it('refuses an endpoint that is none, and a file outside of its folder', async () => {
    const {hub} = await serve();
    process.env['HF_ENDPOINT'] = 'hub.example';
    expect(() => source()).to.throw(
      "test: the environment variable HF_ENDPOINT must be an http(s) URL, such as https://huggingface.co; got 'hub.example'",
    );
    process.env['HF_ENDPOINT'] = hub.endpoint;
    hub.push('main', new Map([['../../outside', small]]));
    expect(await source().open('config.json')).to.equal(null);
    expect(await refused('../../outside')).to.match(
      /must be named by a path that stays in its folder/,
    );
  });

  it('refuses an answer that describes no model, also where the cache has the model', async () => {
    const {hub, commit} = await serve();
    await read(LARGE);
    const described = (change: object): string => {
      const file = {rfilename: LARGE, size: 300_000, blobId: '0'.repeat(40), ...change};
      return JSON.stringify({sha: commit, siblings: [file]});
    };
    const noModel = /^ does not describe a model; is HF_ENDPOINT a Hub\?$/;
    const noFile =
      /^ must give size and hash of each file; got \{"rfilename":"model\.safetensors",/;
    for (const [description, message] of [
      ['{}', noModel],
      [JSON.stringify({sha: 'main', siblings: []}), noModel],
      [JSON.stringify({sha: commit.toUpperCase(), siblings: []}), noModel],
      [JSON.stringify({sha: commit, siblings: {}}), noModel],
      [JSON.stringify({sha: commit, siblings: [null]}), / of each file; got null$/],
      [described({rfilename: 1}), / of each file; got \{"rfilename":1,/],
      [described({size: undefined}), noFile],
      [described({size: -1}), noFile],
      [described({size: 0.5}), noFile],
      [described({blobId: undefined}), noFile],
      [described({blobId: sha256}), noFile],
      [described({blobId: '../../'.padEnd(40, '0')}), noFile],
      [described({lfs: {sha256: '0'.repeat(40)}}), noFile],
      [described({lfs: {}}), noFile],
      ['<html>', /^ is not JSON: /],
      ['[]', /^ is not a JSON object$/],
    ] as const) {
      hub.options = {description};
      const said = await refused();
      const from = `test: the answer to GET ${hub.endpoint}/api/models/${ID}/revision/main?blobs=true`;
      expect(said.slice(0, from.length), description).to.equal(from);
      expect(said.slice(from.length), description).to.match(message);
    }
    hub.options = {description: described({lfs: {oid: sha256}})};
    expect(await read(LARGE)).to.deep.equal(large);
    hub.options = {description: new Uint8Array(MAX_JSON_BYTES + 1)};
    expect(await refused()).to.equal(
      `test: GET ${hub.endpoint}/api/models/${ID}/revision/main?blobs=true gives more than ${MAX_JSON_BYTES} bytes`,
    );
  });
});

describe('a Hub whose answers do not end', () => {
  /** Begins an answer that never ends: a byte now and then. */
  const drip = (response: ServerResponse, status: number, first: string | Uint8Array): void => {
    response.writeHead(status).write(first);
    const timer = setInterval(() => response.write('a'), 20);
    response.on('close', () => clearInterval(timer));
  };
  const described = (size: number): string => {
    const file = {rfilename: 'a', size, blobId: '0'.repeat(40)};
    return JSON.stringify({sha: '1'.repeat(40), siblings: [file]});
  };
  const describes = (response: ServerResponse, size: number): void =>
    void response.end(described(size));
  for (const [how, answers] of [
    ['hardly anything of a description', [(response) => drip(response, 200, '{')]],
    [
      'a description that is too large',
      [(response) => drip(response, 200, new Uint8Array(MAX_JSON_BYTES + 1))],
    ],
    ['an error', [(response) => drip(response, 500, 'a')]],
    ['a refusal', [(response) => drip(response, 403, 'a')]],
    [
      'hardly anything of a file',
      [(response) => describes(response, 1e6), (response) => drip(response, 200, 'a')],
    ],
    [
      'more of a file than there is',
      [(response) => describes(response, 2), (response) => drip(response, 200, 'aaa')],
    ],
    [
      'another part than is asked for',
      [(response) => describes(response, 2), (response) => drip(response, 206, 'a')],
    ],
  ] as ReadonlyArray<[string, ReadonlyArray<(response: ServerResponse) => void>]>) {
    it(`are closed after the error: ${how}`, async () => {
      const environment = new HubEnvironment();
      const closed: Array<Promise<unknown>> = [];
      const server = createServer((_, response) => {
        answers[closed.length]!(response);
        closed.push(new Promise((resolve) => response.on('close', resolve)));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      process.env['HF_ENDPOINT'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      try {
        const source = hubSource('test', parseHubName(ID)!, {request: {timeout: 200}, pauses: []});
        await rejection(source.open('a'));
        expect(closed).to.have.length(answers.length);
        await Promise.all(closed);
      } finally {
        server.closeAllConnections();
        server.close();
        environment.end();
      }
    });
  }
});

describe('ask', () => {
  it('waits for the Hub as long as the request says, and otherwise as long as its caller does', async () => {
    const server = createServer((_, response) => void setTimeout(() => response.end('late'), 400));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const asked = (request: RequestOptions) => ({
      ...{owner: 'test', name: parseHubName(ID)!, request, pauses: []},
      settings: {endpoint, token: null, giveToken: '', isNeither: 'not' as const},
    });
    try {
      const answer = await ask(asked({timeout: 5000}), endpoint, {}, 50);
      expect(new TextDecoder().decode((await answer.next())!)).to.equal('late');
      await answer.cancel();
      for (const [request, longest] of [
        [{}, 50],
        [{timeout: 50}, 5000],
      ] as const) {
        const {message} = await rejection(ask(asked(request), endpoint, {}, longest));
        expect(message).to.match(/has brought nothing for 0\.05 s/);
      }
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
