"""What ``export`` is made of: conversion, parity, the bundle's files and its card."""
