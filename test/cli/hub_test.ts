import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import {HubEnvironment} from '../llama/hub/hub_environment';
import {HubServer} from '../llama/hub/hub_server';
import {defaultBackend} from '../support/backends';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

const ID = 'owner/tiny';

describe('the command line with a model of the Hub', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let environment: HubEnvironment;
  let hub: HubServer;
  let commit: string;

  before(async () => {
    folder = await createModelFolder();
    environment = new HubEnvironment();
    hub = await HubServer.start(ID);
    process.env['HF_ENDPOINT'] = hub.endpoint;
    const names = readdirSync(folder.model);
    const files = new Map<string, Uint8Array>(
      names.map((name) => [name, readFileSync(join(folder.model, name))]),
    );
    files.set('README.md', Buffer.from('---\nlicense: apache-2.0\n---\n'));
    commit = hub.push('main', files);
  });
  after(async () => {
    await hub.close();
    environment.end();
    folder.remove();
  });

  it('downloads it, trains it, and leaves a card and a config that name it', async () => {
    const data = folder.writeLines('train_data.jsonl', texts(40));
    const output = join(folder.path, 'run');
    const {code, stderr} = await runCli([
      ...['finetune', '--model', ID, '--data', data, '--output', output],
      ...['--backend', defaultBackend, '--steps', '2', '--max-length', '16', '--tau', '2'],
    ]);
    expect(code, stderr).to.equal(0);
    expect(stderr).to.include(`${ID}: `);
    const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as object;
    expect(config).to.include({model: `${ID}@${commit}`});
    const card = readFileSync(join(output, 'model/README.md'), 'utf8');
    for (const line of [
      `base_model: "${ID}"`,
      'license: "apache-2.0"',
      'tags: ["tfjs-owlore","owlore"]',
      '- train\\_data.jsonl: 32 examples',
      '| steps | 2 |',
    ])
      expect(card.split('\n')).to.include(line);
    expect(card).to.match(
      /^\| held-out loss before \| \d\.\d{4} \|\n\| held-out loss after \| \d\.\d{4} \|$/m,
    );
    expect(card).not.to.include(folder.path);
  });

  it('uses the cache without a network, and says so once', async () => {
    process.env['HF_HUB_OFFLINE'] = '1';
    const args = ['generate', '--model', `${ID}@${commit}`, '--backend', defaultBackend];
    const {code, stderr} = await runCli([...args, '--prompt', 'the cat', '--max-new-tokens', '2']);
    expect(code, stderr).to.equal(0);
    expect(stderr.split(`'${ID}@${commit}' is taken from the cache`)).to.have.length(2);
    const other = await runCli([...args.slice(0, 2), 'owner/other', '--prompt', 'the cat']);
    expect(other.code).to.equal(1);
    expect(other.stderr).to.match(
      /^error: .*'owner\/other' is neither a folder here nor in the cache/m,
    );
  });
});
