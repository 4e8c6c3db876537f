/** The form of a run: model, text and settings. It knows what is chosen, and tells when that changes. */
import type {Address} from './address';
import {defaultsFor, methodOf, type Choice, type DataChoice, type ModelChoice} from './choice';
import {afterPause, byId, element, nextTask, setProperty, setText} from './dom';
import {DropZone} from './drop_zone';
import {methodDefaults} from './method_defaults';
import {PastePanel} from './paste_panel';
import {
  helpOf,
  limitedByModel,
  readSetting,
  settingNames,
  settings,
  whatItTakes,
  type ModelLimits,
  type Setting,
  type SettingName,
  type Settings,
} from './settings';
import type {TextName} from './texts';

const suggestedModels = [
  'HuggingFaceTB/SmolLM2-135M-Instruct',
  'HuggingFaceTB/SmolLM2-360M-Instruct',
  'Qwen/Qwen2.5-0.5B-Instruct',
];
/** Those that have a row of the form for themselves. */
const WIDE: readonly SettingName[] = [
  ...(['method', 'backend', 'fields', 'template', 'gradientCheckpointing', 'prompts'] as const),
];

/** How many fields are made in one task. */
const FIELDS_AT_ONCE = 5;

/** Milliseconds after which what is typed counts. */
const TYPING = 500;

interface Field {
  frame: HTMLElement;
  input: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;
  help: HTMLElement;
}

export class Form {
  readonly choice: Choice = {
    model: {kind: 'built-in'},
    data: {kind: 'built-in', text: 'moby-dick'},
    settings: {},
  };
  private readonly fields = {} as Record<SettingName, Field>;
  private readonly kept = {
    hub: {kind: 'hub', name: '', token: ''} as ModelChoice & {kind: 'hub'},
    modelFiles: {kind: 'files', files: {}} as ModelChoice & {kind: 'files'},
    pasted: {kind: 'pasted', text: ''} as DataChoice & {kind: 'pasted'},
    dataFiles: {kind: 'files', files: {}} as DataChoice & {kind: 'files'},
  };
  /** The most that some settings may be with the chosen model; without those that nobody knows yet. */
  private limits: ModelLimits = {...builtInLimits};
  private readonly textNotes = {'moby-dick': note(''), 'state-of-the-union': note('')};
  private readonly modelTabs: Tabs;
  private readonly dataTabs: Tabs;

  constructor(private readonly onChange: () => void) {
    this.modelTabs = new Tabs(byId('model-tabs'), byId('model-panel'), 'model', [
      {value: 'built-in', label: 'Built in', panel: note(builtInModelText)},
      {value: 'hub', label: 'From the Hub', panel: this.hubPanel()},
      {value: 'files', label: 'My files', panel: this.modelFilesPanel()},
    ]);
    this.dataTabs = new Tabs(byId('data-tabs'), byId('data-panel'), 'data', [
      {value: 'moby-dick', label: 'Moby-Dick', panel: this.textNotes['moby-dick']},
      {value: 'state-of-the-union', label: 'Speeches', panel: this.textNotes['state-of-the-union']},
      {value: 'pasted', label: 'Paste', panel: this.pastePanel()},
      {value: 'files', label: 'My files', panel: this.dataFilesPanel()},
    ]);
    this.modelTabs.onSelect = (value) => {
      this.choice.model =
        value === 'hub'
          ? this.kept.hub
          : value === 'files'
            ? this.kept.modelFiles
            : {kind: 'built-in'};
      this.modelChanged();
    };
    this.dataTabs.onSelect = (value) => {
      this.choice.data =
        value === 'pasted'
          ? this.kept.pasted
          : value === 'files'
            ? this.kept.dataFiles
            : {kind: 'built-in', text: value as TextName};
      this.changed();
    };
    byId('form').addEventListener('submit', (event) => event.preventDefault());
  }

  /** Adds the fields, some in a task. */
  async addFields(): Promise<void> {
    for (const [i, name] of settingNames.entries()) {
      if (i % FIELDS_AT_ONCE === 0) await nextTask();
      this.addField(name);
    }
    await nextTask();
    this.refresh();
  }

  /** Shows what an address asks for. */
  set({model, text, settings: given}: Address): void {
    if (model !== undefined) {
      this.kept.hub.name = model;
      byId<HTMLInputElement>('hub-name').value = model;
      this.modelTabs.select('hub');
      this.choice.model = this.kept.hub;
    }
    if (text !== undefined) {
      this.dataTabs.select(text);
      this.choice.data = {kind: 'built-in', text};
    }
    this.fill(given);
  }

  /** Sets some of the settings. */
  apply(given: Settings): void {
    this.fill(given);
    this.onChange();
  }

  private fill(given: Settings): void {
    Object.assign(this.choice.settings, given);
    for (const [name, value] of Object.entries(given)) {
      const {input} = this.fields[name as SettingName];
      input.value = String(value);
      this.check(name as SettingName);
      if (settings[name as SettingName].more) byId<HTMLDetailsElement>('more').open = true;
    }
    this.refresh();
  }

  /** The first of the settings that play a part and is no value which it takes. */
  get firstWrong(): SettingName | undefined {
    return settingNames.find((name) => {
      const {ariaInvalid, disabled} = this.fields[name].input;
      return ariaInvalid === 'true' && !disabled;
    });
  }

  focus(name: SettingName): void {
    if (settings[name].more) byId<HTMLDetailsElement>('more').open = true;
    this.fields[name].input.focus();
  }

  /** Locks it while a run is under way, or unlocks it, and says how the next run is started: one that has ended is left first. */
  lock(isLocked: boolean, hasEnded: boolean): void {
    byId<HTMLFieldSetElement>('fields').disabled = isLocked;
    setText(byId('own-note'), isLocked ? lockedText : hasEnded ? endedText : openText);
  }

  /** Takes what some settings may be at most with the chosen model: γ its blocks, a row what it was made for. */
  setLimits(limits: ModelLimits): void {
    Object.assign(this.limits, limits);
    for (const name of limitedByModel) this.check(name);
    this.refresh();
  }

  private modelChanged(): void {
    this.limits = this.choice.model.kind === 'built-in' ? {...builtInLimits} : {};
    for (const name of limitedByModel) this.take(name);
    this.take('warmup'); // a run with another model may have other steps
    this.changed();
  }

  private changed(): void {
    this.refresh();
    this.onChange();
  }

  private addField(name: SettingName): void {
    const setting = settings[name];
    const id = `setting-${name}`;
    const helpId = `${id}-help`;
    const input = inputOf(setting, id);
    input.setAttribute('aria-describedby', helpId);
    const help = element('p', {id: helpId, className: 'help', textContent: setting.help});
    const frame = element(
      'div',
      {className: WIDE.includes(name) ? 'field wide' : 'field'},
      element('label', {htmlFor: id, textContent: setting.label}),
      input,
      help,
    );
    input.addEventListener('input', () => {
      this.take(name);
      if (name === 'steps') this.take('warmup');
      this.changed();
    });
    this.groupOf(setting).append(frame);
    this.fields[name] = {frame, input, help};
  }

  /** Where it stands. */
  private groupOf({more}: Setting): HTMLElement {
    if (more === undefined) return byId('settings');
    const id = `more-${more.toLowerCase().replace(' ', '-')}`;
    const known = document.getElementById(id);
    if (known) return known;
    const group = element('div', {id, className: 'settings'});
    byId('more').append(element('h3', {textContent: more}), group);
    return group;
  }

  /** Takes what a field has; of a text that is no value it says so, and keeps nothing. */
  private take(name: SettingName): void {
    const setting = settings[name];
    const value = this.check(name);
    const fallback = this.fallback(name);
    if (value === null || (setting.kind === 'choice' && value === fallback)) {
      this.choice.settings = Object.fromEntries(
        Object.entries(this.choice.settings).filter(([other]) => other !== name),
      );
    } else {
      this.choice.settings[name] = value;
    }
  }

  /** The value that a field has, or null; of a text that is no value it says so. */
  private check(name: SettingName): string | number | null {
    const {input, help} = this.fields[name];
    const known = settings[name];
    const most = name === 'warmup' ? this.steps - 1 : (this.limits as Settings)[name];
    const setting = most === undefined ? known : ({...known, max: most} as Setting);
    const text = input.value.trim();
    const value = text === '' ? null : readSetting(name, text, setting);
    const isWrong = text !== '' && value === null;
    setProperty(input, 'ariaInvalid', String(isWrong));
    help.classList.toggle('wrong', isWrong);
    setText(help, isWrong ? whatItTakes(setting, text) : helpOf(setting, input.value));
    return value;
  }

  /** What a setting is where nothing is given. */
  private fallback(name: SettingName): string | number | undefined {
    const setting = settings[name];
    const own = defaultsFor(this.choice);
    if (setting.kind === 'choice') return own[name] ?? Object.keys(setting.choices)[0];
    return own[name] ?? methodDefaults(methodOf(this.choice), this.steps, this.limits.gamma)[name];
  }

  /** Of the run. */
  private get steps(): number {
    return Number(this.choice.settings.steps ?? defaultsFor(this.choice).steps);
  }

  /** Shows defaults, and which settings play no part with the method. */
  private refresh(): void {
    const method = methodOf(this.choice);
    for (const [name, {frame, input, help}] of Object.entries(this.fields) as [
      SettingName,
      Field,
    ][]) {
      const setting = settings[name];
      const matters = setting.matters?.(method) ?? true;
      setProperty(input, 'disabled', !matters);
      frame.classList.toggle('idle', !matters);
      const fallback = this.fallback(name);
      if (!(input instanceof HTMLSelectElement)) {
        const placeholder = matters
          ? String(fallback ?? ('otherwise' in setting ? setting.otherwise : ''))
          : 'not used';
        setProperty(input, 'placeholder', placeholder);
      } else if (this.choice.settings[name] === undefined) {
        setProperty(input, 'value', String(fallback));
        setText(help, helpOf(setting, input.value));
      }
    }
    // what it has read is known of the built-in model alone
    const isBuiltIn = this.choice.model.kind === 'built-in';
    for (const [name, {is, toBuiltIn}] of Object.entries(textWords))
      setText(this.textNotes[name as TextName], `${is}${isBuiltIn ? toBuiltIn : ''}.`);
  }

  private hubPanel(): HTMLElement {
    const list = element(
      'datalist',
      {id: 'hub-models'},
      ...suggestedModels.map((value) => element('option', {value})),
    );
    const name = element('input', {
      id: 'hub-name',
      placeholder: `such as ${suggestedModels[0]}`,
      spellcheck: false,
      autocapitalize: 'off',
      maxLength: 300,
    });
    name.setAttribute('list', 'hub-models');
    name.setAttribute('aria-label', 'Name of a model on the Hugging Face Hub');
    const token = element('input', {
      id: 'hub-token',
      type: 'password',
      placeholder: 'Access token, for gated models',
      autocomplete: 'off',
      maxLength: 300,
    });
    token.setAttribute('aria-label', 'Access token of the Hugging Face Hub, for gated models');
    const take = () => {
      const given = {name: name.value.trim(), token: token.value.trim()};
      const {hub} = this.kept;
      if (given.name === hub.name && given.token === hub.token) return;
      Object.assign(hub, given);
      this.modelChanged();
    };
    const takeSoon = afterPause(take, TYPING);
    for (const input of [name, token]) {
      input.addEventListener('input', takeSoon);
      input.addEventListener('change', take);
    }
    return element(
      'div',
      {className: 'panel'},
      name,
      list,
      token,
      note(
        'LLaMA, SmolLM2, Mistral, Qwen2 and 3, Gemma 3. Loaded once, then kept in this browser.',
      ),
    );
  }

  private modelFilesPanel(): HTMLElement {
    return new DropZone({
      text: 'Drop a model’s folder, or a GGUF file',
      takesFolder: true,
      onFiles: (files) => {
        this.kept.modelFiles.files = files;
        this.modelChanged();
      },
    }).element;
  }

  private pastePanel(): HTMLElement {
    const {element: panel} = new PastePanel((text) => {
      this.kept.pasted.text = text;
      this.changed();
    });
    panel.append(note(dataText));
    return panel;
  }

  private dataFilesPanel(): HTMLElement {
    const {element: zone} = new DropZone({
      text: 'Drop files of examples',
      takesFolder: false,
      onFiles: (files) => {
        this.kept.dataFiles.files = files;
        this.changed();
      },
    });
    return element('div', {className: 'panel'}, zone, note(dataText));
  }
}

const openText = 'Choose here what the next run is of, then start it above.';
const endedText = 'Choose here what the next run is of, then click “New run” above, and start it.';
const lockedText = 'A run is under way: choose for the next one when it has ended.';
const builtInLimits = {gamma: 8, maxLength: 128};
const builtInModelText = `1.7 million parameters in ${builtInLimits.gamma} blocks, which have read presidents’ speeches. Small enough for any computer.`;
/** What each text is, and what it is to the built-in model. */
const textWords: Record<TextName, {is: string; toBuiltIn: string}> = {
  'moby-dick': {
    is: 'The novel: another century’s prose',
    toBuiltIn: ', which the model has never seen',
  },
  'state-of-the-union': {
    is: 'Recent State of the Union addresses',
    toBuiltIn: ', of the kind that the model already knows',
  },
};
const dataText = 'jsonl, json, csv, tsv or plain text: chats, prompts with answers, or texts.';

/** The field of a setting. */
function inputOf(setting: Setting, id: string): Field['input'] {
  if (setting.kind === 'choice') {
    const options = Object.entries(setting.choices).map(([value, textContent]) =>
      element('option', {value, textContent}),
    );
    return element('select', {id}, ...options);
  }
  if (setting.kind === 'number')
    return element('input', {id, inputMode: 'decimal', autocomplete: 'off', maxLength: 12});
  const {maxLength, hasLines = false} = setting;
  return hasLines
    ? element('textarea', {id, rows: 2, maxLength, spellcheck: false})
    : element('input', {id, maxLength, autocomplete: 'off', spellcheck: false});
}

function note(textContent: string): HTMLElement {
  return element('p', {className: 'note', textContent});
}

interface Tab {
  value: string;
  label: string;
  panel: HTMLElement;
}

/** Radio buttons, of which the chosen one has its panel shown. */
class Tabs {
  onSelect: (value: string) => void = () => undefined;
  private readonly inputs: HTMLInputElement[];

  constructor(
    list: HTMLElement,
    frame: HTMLElement,
    name: string,
    private readonly tabs: readonly Tab[],
  ) {
    this.inputs = tabs.map(({value}) => element('input', {type: 'radio', name, value}));
    tabs.forEach(({value, label}, i) => {
      list.append(element('label', {}, this.inputs[i]!, label));
      this.inputs[i]!.addEventListener('change', () => {
        this.select(value);
        this.onSelect(value);
      });
    });
    frame.append(...tabs.map(({panel}) => panel));
    this.select(tabs[0]!.value);
  }

  select(value: string): void {
    this.tabs.forEach((tab, i) => {
      const isChosen = tab.value === value;
      this.inputs[i]!.checked = isChosen;
      tab.panel.hidden = !isChosen;
    });
  }
}
