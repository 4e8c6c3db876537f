/** Web Locks as a browser has them, as far as this library asks for them; Node has none. */
class Locks {
  private readonly held = new Set<string>();

  async query(): Promise<{held: Array<{name: string}>}> {
    return {held: [...this.held].map((name) => ({name}))};
  }

  async request<T>(
    name: string,
    {ifAvailable = false}: {ifAvailable?: boolean},
    body: (lock: object | null) => T | Promise<T>,
  ): Promise<T> {
    while (this.held.has(name)) {
      if (ifAvailable) return body(null);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    this.held.add(name);
    try {
      return await body({name});
    } finally {
      this.held.delete(name);
    }
  }
}

/** Gives Node Web Locks while a test of those around runs; none is held when it begins. */
export function useWebLocks(): void {
  let before: PropertyDescriptor | undefined;
  beforeEach(() => {
    before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
    Object.defineProperty(globalThis, 'navigator', {
      value: {locks: new Locks()},
      configurable: true,
    });
  });
  afterEach(() => {
    Reflect.deleteProperty(globalThis, 'navigator');
    if (before) Object.defineProperty(globalThis, 'navigator', before);
  });
}
