// The SDK is made for Node 22; the one function that Node 20 lacks of what it uses. Loaded before it.

Promise.withResolvers ??= function () {
    let resolve, reject;
    const promise = new this((...settle) => ([resolve, reject] = settle));
    return { promise, resolve, reject };
};
