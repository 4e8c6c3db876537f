/** `tfjs-owlore generate`: continues a text. */
import {readFileSync} from 'node:fs';
import {parseJsonObject} from '../files/json';
import {text as readAll} from 'node:stream/consumers';
import {generateDefaults} from '../llama/generation/generate_options';
import {generate as generateIds} from '../llama/index';
import {seedRange} from '../options';
import {defineCommand, type Context} from './command';
import {loadModel, modelOptions, type Loaded} from './model_options';
import {nextTurn} from './progress';
import {file, flag, group, number, text, texts, type SettingsOf} from './options';
import {TextStream} from './text_stream';
import {UsageError} from './usage_error';
import {counted} from './words';

const options = {
  ...modelOptions,
  ...group('Text', {
    prompt: text(
      'the text to continue; without it and --prompt-file, the text is read from stdin',
      '<text>',
    ),
    promptFile: file('a file with the text to continue'),
    chat: flag("treat the text as a message, and put it into the model's chat template"),
    maxNewTokens: number(
      `most new tokens (default: ${generateDefaults.maxNewTokens}, or as many as the model can take)`,
      {integer: true, min: 1},
    ),
    temperature: number('0: always the most probable token; above, tokens are drawn', {
      min: 0,
      default: generateDefaults.temperature,
    }),
    topK: number('draw from only this many tokens, the most probable ones (default: all)', {
      integer: true,
      min: 1,
    }),
    topP: number('draw from the fewest most probable tokens that together have this probability', {
      exclusiveMin: 0,
      max: 1,
      default: generateDefaults.topP,
    }),
    seed: number('seed of the draws (default: another one each time)', seedRange),
    stop: texts('stop before this text; may be given several times', '<text>'),
  }),
};

export const generate = defineCommand({
  name: 'generate',
  summary: 'Continues a text.',
  examples: [
    ['the most probable text', "generate --model demo/model --prompt 'The captain'"],
    [
      'an answer, drawn',
      "generate --model run/model --chat --temperature 0.7 --prompt 'What is a whale?'",
    ],
  ],
  options,
  async run(settings, context) {
    const prompt = await readPrompt(settings, context);
    const loaded = await loadModel(settings, context);
    try {
      return await write(prompt, loaded, settings, context);
    } finally {
      loaded.model.dispose();
    }
  },
});

type Settings = SettingsOf<typeof options>;

async function readPrompt(
  {prompt, promptFile}: Settings,
  {stdin, given}: Context,
): Promise<string> {
  if (prompt !== undefined && promptFile !== undefined) {
    throw new UsageError(`${given.get('promptFile')} cannot be given beside --prompt`);
  }
  if (prompt !== undefined) return prompt;
  if (promptFile === undefined && stdin.isTTY) {
    throw new UsageError('generate: there is no text; it takes --prompt, --prompt-file or stdin');
  }
  const all = promptFile === undefined ? await readAll(stdin) : readFileSync(promptFile, 'utf8');
  // the line break that editors and `echo` put at the end
  return all.replace(/\r?\n$/, '');
}

/** Writes the text as it comes. */
async function write(
  prompt: string,
  loaded: Loaded,
  {chat, stop, maxNewTokens, temperature, topK, topP, seed}: Settings,
  {console}: Context,
): Promise<object> {
  const {model, tokenizer, config, backend} = loaded;
  const ids = chat
    ? tokenizer.applyChatTemplate([{role: 'user', content: prompt}], {addGenerationPrompt: true})
    : tokenizer.encode(prompt);
  const most = config.maxPositionEmbeddings;
  if (ids.length === 0 || ids.length >= most) {
    throw new Error(
      `generate: the text must have at least one token, and fewer than ${most}, the positions of the model; got ${ids.length}`,
    );
  }
  const stream = new TextStream(tokenizer, ids, stop);
  const total =
    maxNewTokens ??
    Math.min(generateDefaults.maxNewTokens, config.maxPositionEmbeddings - ids.length);
  const progress = console.isJson ? console.progress({label: 'writing', total}) : null;
  if (console.isWatched && !chat) console.write(prompt, {isDim: true});

  const start = performance.now();
  const {ids: written, finishReason} = await generateIds(model, ids, {
    maxNewTokens,
    temperature,
    topK,
    topP,
    seed,
    stop: endTokens(loaded),
    onToken: async (id, all) => {
      console.write(stream.push(id));
      progress?.update(all.length);
      await nextTurn();
      return !stream.isStopped;
    },
  });
  console.print(stream.end());
  console.endProgress();
  const seconds = (performance.now() - start) / 1000;
  const reason = finishReason === 'length' ? 'length' : 'stop';
  const count = `${counted(written.length, 'token')}${reason === 'length' ? ', the most allowed,' : ''}`;
  const speed = (written.length / seconds).toPrecision(3);
  console.note(`${count} in ${seconds.toFixed(1)} s (${speed} a second)`);
  return {
    text: stream.text,
    ids: written,
    finishReason: reason,
    promptTokens: ids.length,
    seconds,
    backend,
  };
}

const GENERATION_CONFIG = 'generation_config.json';

/** The tokens after which a model has no more to say, as its files have it. */
function endTokens({tokenizer, config, configJson, files}: Loaded): number[] {
  const generationConfig = files.get(GENERATION_CONFIG);
  const listed = [
    tokenizer.eosTokenId,
    configJson['eos_token_id'],
    generationConfig &&
      parseJsonObject(`generate: ${GENERATION_CONFIG}`, generationConfig)['eos_token_id'],
  ].flat();
  const ids = listed.filter((id): id is number => Number.isInteger(id));
  return [...new Set(ids)].filter((id) => id >= 0 && id < config.vocabSize);
}
