/** `tfjs-owlore generate`: continues a text, or those of a file. */
import {buffer as readAll} from 'node:stream/consumers';
import {decodeUtf8} from '../files/json';
import {generateDefaults, newTokensAfter} from '../llama/generation/generate_options';
import {generate as generateIds} from '../llama/index';
import {defineCommand, type Context} from './command';
import {generateFile, tokensOfLines} from './generate_file';
import {generateOptions, type GenerateSettings, type WriteSettings} from './generate_settings';
import {StoppedError} from './interruption';
import {
  loadModel,
  openModel,
  openRecommended,
  type Loaded,
  type OpenedModel,
} from './model_options';
import {checkOutputFile} from './output_file';
import {readPrompts, type PromptLine} from './prompts_file';
import {chosenSampling, describeSpeed, unusedSampling} from './sampling_options';
import {endTokens, TextStream} from '../llama/generation/text_stream';
import {encodePrompt} from '../llama/text/example_prompt';
import {asUsage, UsageError} from './usage_error';
import {readUtf8, withoutMark} from './utf8_file';
import {counted} from './words';
import {CHARACTERS_OF_TOKEN, type Writing} from './writing_backend';

export const generate = defineCommand({
  name: 'generate',
  summary: 'Continues a text.',
  examples: [
    [
      'the most probable text',
      "generate --model HuggingFaceTB/SmolLM2-135M-Instruct --prompt 'The captain'",
    ],
    [
      'an answer, drawn',
      "generate --model run/model --chat --temperature 0.7 --prompt 'What is a whale?'",
    ],
    [
      'many texts',
      'generate --model HuggingFaceTB/SmolLM2-135M-Instruct --prompts prompts.jsonl --output texts.jsonl',
    ],
  ],
  options: generateOptions,
  alternatives: [['prompt', 'promptFile', 'prompts']],
  meaningless: ({prompts, temperature, output}) => ({
    ...unusedSampling({temperature}),
    ...(output === undefined && {overwrite: 'no --output'}),
    ...(prompts === undefined
      ? {batch: 'one text', output: 'one text'}
      : {prompt: '--prompts', promptFile: '--prompts'}),
  }),
  async run(settings, context) {
    const {prompts: path} = settings;
    if (path !== undefined) {
      checkOutputFile(settings, context);
      const prompts = await readPrompts(path);
      const chat = prompts.find(({prompt}) => typeof prompt !== 'string');
      const asking = chat && `the 'messages' of line ${chat.line} of ${path} need`;
      const writing = writingOf(
        Math.min(settings.batch, prompts.length),
        prompts.map(({prompt}) => prompt),
        settings,
      );
      const opened = await openForTexts(settings, asking, context);
      const ids = tokensOfLines(path, prompts, opened, settings);
      const all = await withSampling(settings, opened, context);
      return withModel(settings, opened, writing, context, (loaded) =>
        generateFile(prompts, ids, loaded, all, context),
      );
    }
    const prompt = await readPrompt(settings, context);
    const opened = await openForTexts(settings, undefined, context);
    const ids = tokensOf(prompt, opened, settings);
    const all = await withSampling(settings, opened, context);
    return withModel(settings, opened, writingOf(1, [prompt], settings), context, (loaded) =>
      write(prompt, ids, loaded, all, context),
    );
  },
});

/** The settings with those that the model's own files bring. */
async function withSampling(
  settings: GenerateSettings,
  opened: OpenedModel,
  context: Context,
): Promise<WriteSettings> {
  const ofModel = await openRecommended(opened, context);
  return {...settings, sampling: chosenSampling(settings, ofModel, context)};
}

/** What is to be written, before there is a tokenizer that counts tokens. */
function writingOf(
  texts: number,
  prompts: ReadonlyArray<PromptLine['prompt']>,
  {maxNewTokens = generateDefaults.maxNewTokens}: GenerateSettings,
): Writing {
  const lengths = prompts.map((prompt) =>
    typeof prompt === 'string'
      ? prompt.length
      : prompt.reduce((sum, {content}) => sum + content.length, 0),
  );
  const characters = lengths.reduce((sum, length) => sum + length, 0) / prompts.length;
  const promptTokens = Math.ceil(characters / CHARACTERS_OF_TOKEN);
  return {texts, promptTokens, newTokens: maxNewTokens};
}

/**
 * Opens the model, without its weights.
 *
 * @param asking What needs a chat template beside `--chat`, with its verb; undefined: nothing.
 */
async function openForTexts(
  settings: GenerateSettings,
  asking: string | undefined,
  context: Context,
): Promise<OpenedModel> {
  const {model, chat} = settings;
  const user = asking ?? (chat ? '--chat needs' : undefined);
  if (user === undefined && settings.chatTemplate !== undefined) {
    throw new UsageError(
      `${context.given.get('chatTemplate')} takes effect with --chat or messages of --prompts; without them a text is continued as it is`,
    );
  }
  const opened = await openModel(settings, context);
  if (user === undefined || opened.tokenizer.hasChatTemplate) return opened;
  const way = [asking && "as 'prompt'", chat && 'without --chat'].filter(Boolean).join(', ');
  throw new UsageError(
    `generate: ${user} a chat template, and the tokenizer of ${model} has none, and --chat-template takes one; a text that is to be continued as it is can be given ${way}`,
  );
}

async function withModel<T>(
  settings: GenerateSettings,
  opened: OpenedModel,
  writing: Writing,
  context: Context,
  body: (loaded: Loaded) => Promise<T>,
): Promise<T> {
  const {frozenDtype} = settings;
  const loaded = await loadModel(settings, opened, context, {frozenDtype}, writing);
  try {
    return await context.interruption.stopTidily(() => body(loaded));
  } finally {
    loaded.model.dispose();
  }
}

async function readPrompt(
  {prompt, promptFile}: GenerateSettings,
  {stdin, given}: Context,
): Promise<string> {
  if (prompt !== undefined && promptFile !== undefined) {
    throw new UsageError(`${given.get('promptFile')} cannot be given beside --prompt`);
  }
  if (prompt !== undefined) return prompt;
  if (promptFile === undefined && stdin.isTTY) {
    throw new UsageError(
      'generate: there is no text; it takes --prompt, --prompt-file, --prompts or stdin',
    );
  }
  const bytes = promptFile === undefined ? await readAll(stdin) : null;
  const all = asUsage(() =>
    bytes ? withoutMark(decodeUtf8('generate: stdin', bytes)) : readUtf8(promptFile!),
  );
  // the line break that editors and `echo` put at the end
  return all.replace(/\r?\n$/, '');
}

/** @throws if the model cannot take the text. */
function tokensOf(
  prompt: string,
  {tokenizer, config}: OpenedModel,
  {chat, maxNewTokens}: GenerateSettings,
): number[] {
  const ids = chat
    ? tokenizer.applyChatTemplate([{role: 'user', content: prompt}], {addGenerationPrompt: true})
    : encodePrompt(tokenizer, prompt);
  const max = config.maxPositionEmbeddings;
  if (ids.length === 0 || ids.length >= max) {
    throw new Error(
      `generate: the text must have at least one token, and fewer than ${max}, the positions of the model; got ${ids.length}`,
    );
  }
  newTokensAfter('generate', ids.length, {maxNewTokens}, config);
  return ids;
}

/** Writes the text as it comes. */
async function write(
  prompt: string,
  ids: readonly number[],
  loaded: Loaded,
  {chat, stop, maxNewTokens, sampling, seed}: WriteSettings,
  {console, interruption}: Context,
): Promise<object> {
  const {model, tokenizer, config, backend} = loaded;
  const stream = new TextStream(tokenizer, ids, stop);
  const total = newTokensAfter('generate', ids.length, {maxNewTokens}, config);
  const progress = console.isJson ? console.progress({label: 'writing', total}) : null;
  const output = console.startText();
  if (console.isWatched && !chat) output.write(prompt, {isDim: true});

  const start = performance.now();
  const {ids: written, finishReason} = await generateIds(model, ids, {
    ...sampling,
    maxNewTokens,
    seed,
    stop: endTokens(loaded),
    signal: interruption.signal,
    onToken: (id, all) => {
      output.write(stream.push(id));
      progress?.update(all.length);
      return !stream.isStopped;
    },
  });
  output.end(stream.end());
  console.endProgress();
  const seconds = (performance.now() - start) / 1000;
  const counts = {ids: written, promptTokens: ids.length, seconds, backend};
  if (finishReason === 'abort') {
    const {stopSignal} = interruption.signal.reason as StoppedError;
    throw new StoppedError(stopSignal, `after ${written.length} tokens`, {
      text: stream.text,
      finishReason: 'interrupted',
      ...counts,
    });
  }
  const reason = finishReason === 'length' ? 'length' : 'stop';
  const count = `${counted(written.length, 'token')}${reason === 'length' ? ', the most allowed,' : ''}`;
  console.note(describeSpeed(count, written.length, seconds));
  return {text: stream.text, finishReason: reason, ...counts};
}
