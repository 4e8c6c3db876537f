/** The model card of a saved model: `README.md`, with what the Hugging Face Hub reads at its top. */
import {parseHubName} from '../../files/hub_name';
import {checkKnown, display} from '../../common/options';

/** What the card of a saved model says, beyond what is known of the model that was loaded. */
export interface ModelCard {
  /** Its heading; default: after the model that was fine-tuned. */
  title?: string;
  /** The model that was fine-tuned, by its name on the Hub; default: the one that was loaded, if it is from there. */
  baseModel?: string;
  /** What it is, in a sentence; default: that it was trained with this library. */
  description?: string;
  /** As the Hub names licenses, such as `apache-2.0`; default: what the card of the loaded model says. */
  license?: string;
  /** Further tags; default none. */
  tags?: readonly string[];
  /** How the model was trained, in a few words; default not said. */
  method?: string;
  /** Settings of the training, by name; default none. */
  settings?: Readonly<Record<string, string | number | boolean>>;
  /** What it was trained on, such as names of files; default not said. */
  data?: readonly string[];
  /** What came of it, by name, such as a loss before and after; default none. */
  figures?: Readonly<Record<string, string | number>>;
}

/** What a saved model has of the one that was loaded. */
export interface Base {
  /** `owner/name` on the Hub; undefined if it is not known. */
  model?: string;
  /** Of its license, under the names that cards have. */
  license: Readonly<Record<string, string>>;
}

export const CARD_FILE = 'README.md';
/** More than any card has. */
export const MAX_CARD_BYTES = 10_000_000;

/** Tells cards that may be replaced from those that somebody else wrote. */
const MARK =
  '<!-- Written by tfjs-owlore, which replaces this file at the next save; if you change it, remove this line. -->';

const LICENSE_KEYS = ['license', 'license_name', 'license_link'] as const;

/** @throws Error if an option is unknown or wrong. */
export function checkCard(owner: string, card: ModelCard): void {
  const called = `${owner}: card`;
  const known = [
    ...['title', 'baseModel', 'description', 'license', 'tags', 'method', 'settings', 'data'],
    'figures',
  ];
  checkKnown(called, card, known);
  const check = (
    name: keyof ModelCard,
    what: string,
    isRight: (value: unknown) => boolean,
  ): void => {
    const value: unknown = card[name];
    if (value === undefined || isRight(value)) return;
    throw new Error(`${called}: ${name} must be ${what}; got ${display(value)}`);
  };
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  for (const name of ['title', 'description', 'license', 'method'] as const)
    check(name, 'a text', isText);
  for (const name of ['tags', 'data'] as const)
    check(name, 'a list of texts', (value) => Array.isArray(value) && value.every(isText));
  for (const name of ['settings', 'figures'] as const)
    check(name, 'texts and numbers by name', (value) => {
      const types = ['string', 'number', 'boolean'];
      const isPlain = typeof value === 'object' && value !== null && !Array.isArray(value);
      return isPlain && Object.values(value).every((each) => types.includes(typeof each));
    });
  const isName = (value: unknown): boolean =>
    isText(value) && !(value as string).includes('@') && parseHubName(value as string) !== null;
  check('baseModel', "a model's name on the Hub, owner/name", isName);
}

/** How a model takes what it is asked: as a chat, or as a text that it continues; null without a tokenizer, which nothing can be asked. */
export type PromptForm = 'chat' | 'text' | null;

/** By the files that are saved beside its weights. */
export function promptForm(files: ReadonlyMap<string, Uint8Array>): PromptForm {
  if (!files.has('tokenizer.json')) return null;
  const config = new TextDecoder().decode(files.get('tokenizer_config.json'));
  return files.has('chat_template.jinja') || config.includes('"chat_template"') ? 'chat' : 'text';
}

/**
 * The text of a card.
 *
 * @param form How the model takes what it is asked; or that the card is of adapters for it, as peft has them.
 */
export function cardText(
  card: ModelCard,
  base: Base | undefined,
  form: PromptForm | 'adapter',
): string {
  const {baseModel = base?.model, license, tags = [], method, settings, data, figures} = card;
  const {description} = card;
  const isAdapter = form === 'adapter';
  const untitled = isAdapter ? 'An adapter of a language model' : 'A language model';
  const {title = baseModel ? `${baseModel.split('/')[1]}, fine-tuned` : untitled} = card;
  const relation = isAdapter ? 'adapter' : 'finetune';
  const front: Record<string, string | readonly string[]> = {
    ...(baseModel && {base_model: baseModel, base_model_relation: relation}),
    library_name: isAdapter ? 'peft' : 'transformers',
    pipeline_tag: 'text-generation',
    ...(license === undefined ? base?.license : {license}),
    tags: [...new Set(['tfjs-owlore', ...tags])],
  };
  // JSON is YAML
  const lines = Object.entries(front).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  const model = baseModel ? `[${baseModel}](https://huggingface.co/${baseModel})` : null;
  const how = method === undefined ? '' : ` Method: ${plain(method)}.`;
  const parts = [
    `---\n${lines.join('\n')}\n---`,
    `# ${plain(title)}`,
    description === undefined
      ? (model === null ? 'Trained' : `${model}, fine-tuned`) + ` with tfjs-owlore.${how}`
      : plain(description) + how,
    ...section('Use', form === null || (isAdapter && !baseModel) ? '' : usage[form]),
    ...section('Results', table(figures)),
    ...section('Data', (data ?? []).map((each) => `- ${plain(each)}`).join('\n')),
    ...section('Settings', table(settings)),
    MARK,
  ];
  return `${parts.join('\n\n')}\n`;
}

/** Lines that run in the folder of the card. */
const usage: Readonly<Record<Exclude<PromptForm, null> | 'adapter', string>> = {
  chat: pipelineUsage(
    'chat --model .',
    'messages = [{"role": "user", "content": "Hello!"}]',
    'print(generate(messages, max_new_tokens=64)[0]["generated_text"][-1]["content"])',
  ),
  text: pipelineUsage(
    "generate --model . --prompt 'Once upon a time'",
    'print(generate("Once upon a time", max_new_tokens=64)[0]["generated_text"])',
  ),
  // it names its model, which both load
  adapter: usageOf(
    "generate --model . --prompt 'Once upon a time'",
    'from peft import AutoPeftModelForCausalLM',
    '',
    'model = AutoPeftModelForCausalLM.from_pretrained(".")  # this folder, or its name on the Hub',
  ),
};

function pipelineUsage(command: string, ...python: readonly string[]): string {
  return usageOf(
    command,
    'from transformers import pipeline',
    '',
    'generate = pipeline("text-generation", model=".")  # this folder, or its name on the Hub',
    ...python,
  );
}

function usageOf(command: string, ...lines: readonly string[]): string {
  return `\`\`\`python\n${lines.join('\n')}\n\`\`\`\n\n\`\`\`sh\nnpx tfjs-owlore ${command}\n\`\`\``;
}

/** Whether a text is a card that may be replaced. */
export function isOwnCard(text: string): boolean {
  return text.includes(MARK);
}

/** What a loaded model's card, if it has one, says about it and what is made of it. */
export function readBase(card: string | null, hubId: string | undefined): Base {
  const front = /^\ufeff?---\r?\n([^]*?)\r?\n---\s*(?:\n|$)/.exec(card ?? '')?.[1] ?? '';
  const own = card !== null && isOwnCard(card) ? valueOf(front, 'base_model') : undefined;
  const license = LICENSE_KEYS.flatMap((key) => {
    const value = valueOf(front, key);
    return value === undefined ? [] : [[key, value] as const];
  });
  const isKnown = license.some(([key]) => key === 'license');
  const model = hubId ?? own;
  return {...(model && {model}), license: isKnown ? Object.fromEntries(license) : {}};
}

/** A value of YAML that is a plain or quoted word; no more is read of a stranger's card. */
function valueOf(front: string, key: string): string | undefined {
  const [, , value] =
    new RegExp(`^${key}:[ \\t]+(["']?)([\\w.:/?=&%+-]+)\\1[ \\t]*\\r?$`, 'm').exec(front) ?? [];
  return value;
}

function section(heading: string, body: string): string[] {
  return body === '' ? [] : [`## ${heading}`, body];
}

function table(values: Readonly<Record<string, string | number | boolean>> = {}): string {
  const rows = Object.entries(values).map(([name, value]) => `| ${cell(name)} | ${cell(value)} |`);
  return rows.length === 0 ? '' : ['| | |', '| --- | --- |', ...rows].join('\n');
}

function cell(value: string | number | boolean): string {
  return plain(String(value)).replaceAll('|', '\\|');
}

/** A text in one line in which Markdown and HTML find nothing, and which shows itself as it is. */
function plain(text: string): string {
  return text
    .replace(/[\s\p{Cc}\p{Bidi_Control}]+/gu, ' ')
    .replace(/[\\`*_[\]#]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;');
}
